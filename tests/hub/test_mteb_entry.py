"""A model's entry in MTEB: its source, what is in it, and a local task of MTEB run by way of it."""

import datetime
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound, tiny_model_and_processor
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.evaluation import relevance_from_groups, retrieval_metrics
from auricle.hub.mteb_entry import mteb_entry
from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mteb.md"
WRAPPER = "SentenceTransformerEncoderWrapper"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny model under a name that is a path too: nothing is fetched."""
    root = tmp_path_factory.mktemp("mteb")
    (root / "someone").mkdir()
    return root, *saved_tiny_model(root / "someone" / "tiny-auricle")


def entry_of(saved, **options):
    return mteb_entry(*saved[1:], "someone/tiny-auricle", **options)


def test_the_entry_is_read_from_the_model(saved):
    _, model, processor = saved
    values = entry_of(saved, trained_on=["clotho", "OtherTask"]).values
    assert values["n_parameters"] == sum(one.numel() for one in model.parameters())
    assert values["n_embedding_parameters"] == model.config.text_config.vocab_size * 16
    assert (values["embed_dim"], values["max_tokens"]) == (12, 32)
    assert values["loader_kwargs"] == {"trust_remote_code": True, "target_sampling_rate": SAMPLING_RATE}
    assert values["training_datasets"] == {
        *("ClothoA2TRetrieval", "ClothoA2TRetrieval.v2", "ClothoT2ARetrieval", "ClothoT2ARetrieval.v2"),
        "OtherTask",
    }
    assert entry_of(saved).values["training_datasets"] is None
    assert entry_of(saved, trained_on=["wavcaps"]).values["training_datasets"] == set()
    for name in ("tiny", "a/b/c", "/tiny"):
        with pytest.raises(ValueError, match="owner/name"):
            mteb_entry(model, processor, name)


def test_the_command_prints_the_source(saved):
    root = saved[0]
    arguments = ["someone/tiny-auricle", "--license", "apache-2.0", "--trained-on", "clotho"]
    done = CliRunner().invoke(app, ["mteb", str(root / "someone" / "tiny-auricle"), *arguments])
    assert done.exit_code == 0, done.output
    assert done.stdout == entry_of(saved, license="apache-2.0", trained_on=["clotho"]).source()
    refused = CliRunner().invoke(app, ["mteb", str(root / "someone" / "tiny-auricle"), "tiny"])
    assert refused.exit_code == 2 and "owner/name" in refused.output


def test_the_page_shows_the_source_for_the_default_model(tmp_path):
    with torch.device("meta"):
        model = AuricleModel(AuricleConfig())
    tokenizer = tiny_model_and_processor(tmp_path)[1].tokenizer
    processor = AuricleProcessor(AuricleFeatureExtractor.for_tower("passt"), tokenizer)
    source = mteb_entry(
        model,
        processor,
        "owner/auricle-passt-roberta-large",
        revision="0123456789abcdef0123456789abcdef01234567",
        release_date="2026-01-31",
        license="apache-2.0",
        trained_on=["clotho", "audiocaps", "wavcaps"],
    ).source()
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert source in blocks


def test_the_source_is_the_entry(saved):
    pytest.importorskip("mteb")
    given = {
        "license": "apache-2.0",
        "revision": "0" * 40,
        "release_date": "2026-01-31",
        "trained_on": ["clotho"],
        "training_code": "https://example.org/code",
    }
    entry = entry_of(saved, **given)
    names = {}
    exec(compile(entry.source(), "entry.py", "exec"), names)
    meta = entry.meta()
    assert names["tiny_auricle"] == meta
    assert meta.loader.__name__ == WRAPPER
    assert str(meta.release_date) == str(datetime.date(2026, 1, 31))
    with pytest.raises(ValueError, match="licen[sc]e"):
        entry_of(saved, license="my own").meta()


def test_a_task_like_clothos_gives_our_figures(saved, tmp_path, monkeypatch):
    mteb = pytest.importorskip("mteb")
    pytest.importorskip("torchaudio")  # MTEB's wrapper resamples with it
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    root, model, processor = saved
    clips = [sound(0.4 + 0.5 * n, seed=n) for n in range(7)]
    words = (
        "a dog barks",
        "rain falls",
        "a bell rings",
        "a siren wails",
        "a bird sings",
        "an engine idles",
        "noise",
    )
    captions = [f"{first} {second}" for first in words for second in ("", "loud", "while a dog barks")]
    clip_of = [number for number in range(len(words)) for _ in range(3)]
    rows = [{"array": clip.tolist(), "sampling_rate": SAMPLING_RATE} for clip in clips]
    corpus = Dataset.from_dict({"id": [f"c{n}" for n in range(7)], "audio": rows})
    queries = Dataset.from_dict({"id": [f"q{n}" for n in range(21)], "text": captions})

    class ClothoLike(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="ClothoLikeT2ARetrieval",
            description="As ClothoT2ARetrieval.v2: captions are queries, each has one right clip.",
            reference="https://example.org",
            dataset={"path": "local/clotho_like", "revision": "1"},
            type="Any2AnyRetrieval",
            category="t2a",
            modalities=["text", "audio"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="hit_rate_at_5",
            license="mit",
        )

        def load_data(self, **_):
            self.corpus, self.queries = DatasetDict({"test": corpus}), DatasetDict({"test": queries})
            relevant = {f"q{query}": {f"c{clip}": 1} for query, clip in enumerate(clip_of)}
            self.relevant_docs, self.data_loaded = {"test": relevant}, True

    monkeypatch.chdir(root)
    meta = entry_of(saved).meta()
    loaded = meta.load_model(device="cpu")
    assert type(loaded).__name__ == WRAPPER and loaded.target_sampling_rate == SAMPLING_RATE
    results = mteb.evaluate(
        loaded, ClothoLike(), cache=mteb.ResultCache(tmp_path / "results"), show_progress_bar=False
    )
    theirs = results[0].scores["test"][0]
    text = embed_captions(model, processor, captions)
    audio, _ = embed_clips(
        model, processor, [{"array": clip, "sampling_rate": SAMPLING_RATE} for clip in clips]
    )
    ours = retrieval_metrics(text, audio, relevance_from_groups(clip_of, list(range(7))))
    for name, other in {"R@1": "hit_rate_at_1", "R@5": "hit_rate_at_5", "mAP@10": "map_at_10"}.items():
        assert theirs[other] == pytest.approx(ours[name], abs=2e-5), name
    assert 0 < ours["R@1"] < 1
    assert np.isfinite(theirs["main_score"])
