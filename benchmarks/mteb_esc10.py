"""
A text-to-audio retrieval task of MTEB on ESC-10's test fold, beside our own figures.

    python benchmarks/mteb_esc10.py MODEL ESC10_FOLDER

MODEL is a saved model, loaded by sentence-transformers as any other; ESC10_FOLDER what make_esc10_folder.py makes.
Needs pip install 'auricle[mteb]'. MTEB's hit rate at k is our R@k, its MAP at k our mAP@k. The encoder below
stands in for MTEB's own wrapper, which needs torchaudio to pass sounds on.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta
from sentence_transformers import SentenceTransformer

from auricle.data import load_captioned_folder, unique_clips
from auricle.encoders import load_encoder
from auricle.encoders.auricle_embedding import distinct_in_order
from auricle.evaluation import relevance_from_groups, retrieval_metrics
from auricle.processing import load_waveform


class SoundsAndSentences(AbsEncoder):
    """A sentence-transformers model whose batches hold either ``text`` or ``audio``."""

    def __init__(self, name: str):
        self.model = SentenceTransformer(name, trust_remote_code=True, device="cpu")
        fields = {"name": "local/model", "revision": "main", "modalities": ["text", "audio"]}
        self.mteb_model_meta = ModelMeta.create_empty(overwrites=fields)

    def encode(self, inputs: Any, **options: Any) -> np.ndarray:
        rows = []
        for batch in inputs:
            sounds = batch.get("audio")
            items = batch["text"] if sounds is None else [self._sound(sound) for sound in sounds]
            rows.append(self.model.encode(items, show_progress_bar=False))
        return np.concatenate(rows)

    @staticmethod
    def _sound(sound: dict[str, Any]) -> dict[str, Any]:
        return {
            "array": np.asarray(sound["array"], dtype=np.float32),
            "sampling_rate": sound["sampling_rate"],
        }


def make_task(rows: Dataset, sampling_rate: int) -> AbsTaskRetrieval:
    """Every caption is a query; relevant are all clips of its class."""
    clips, captions = unique_clips(rows), distinct_in_order(rows["caption"])
    kind_of = dict(zip(rows["caption"], rows["label"], strict=True))
    sounds = [
        {"array": load_waveform(audio["path"], sampling_rate=sampling_rate), "sampling_rate": sampling_rate}
        for audio in clips["audio"]
    ]
    corpus = Dataset.from_dict({"id": [f"c{n}" for n in range(len(clips))], "audio": sounds})
    queries = Dataset.from_dict({"id": [f"q{n}" for n in range(len(captions))], "text": captions})
    relevant = {
        f"q{query}": {f"c{clip}": 1 for clip, label in enumerate(clips["label"]) if label == kind_of[caption]}
        for query, caption in enumerate(captions)
    }

    class Esc10(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Esc10T2ARetrieval",
            description="Sentences made of ESC-10's class names against the clips of its fold 5.",
            reference="https://github.com/karolpiczak/ESC-50",
            dataset={"path": "local/esc10", "revision": "1"},
            type="Any2AnyRetrieval",
            category="t2a",
            modalities=["text", "audio"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="hit_rate_at_1",
            license="cc-by-3.0",
        )

        def load_data(self, **options: Any) -> None:
            self.corpus, self.queries = DatasetDict({"test": corpus}), DatasetDict({"test": queries})
            self.relevant_docs, self.data_loaded = {"test": relevant}, True

    return Esc10()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    arguments = parser.parse_args()
    rows = load_captioned_folder(arguments.esc10, split="test")
    encoder = load_encoder(arguments.model)
    task = make_task(rows, encoder.sampling_rate)
    with tempfile.TemporaryDirectory() as folder:
        cache = mteb.ResultCache(folder)
        results = mteb.evaluate(SoundsAndSentences(arguments.model), task, cache=cache)
    theirs = results[0].scores["test"][0]
    clips, captions = unique_clips(rows), distinct_in_order(rows["caption"])
    kind_of = dict(zip(rows["caption"], rows["label"], strict=True))
    relevant = relevance_from_groups([kind_of[caption] for caption in captions], list(clips["label"]))
    text = encoder.embed_texts(captions)
    audio, _ = encoder.embed_clips(list(clips["audio"]))
    ours = retrieval_metrics(text, audio, relevant)
    names = {"R@1": "hit_rate_at_1", "R@5": "hit_rate_at_5", "R@10": "hit_rate_at_10", "mAP@10": "map_at_10"}
    print(
        json.dumps({name: [round(theirs[other], 5), round(ours[name], 5)] for name, other in names.items()})
    )


if __name__ == "__main__":
    main()
