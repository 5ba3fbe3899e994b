"""
What has to work with every supported version, in one process: run by the test beside it with an overlay.

    python smoke.py WORK_FOLDER '{"transformers": "5.23.0", ...}'
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_models import SAMPLING_RATE, saved_tiny_model, sound, write_sound
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe

SENTENCES = ["A dog barks!", "rain falls, then a bell rings"]


def check_versions(wanted: dict[str, str]) -> None:
    for name, version in wanted.items():
        assert importlib.metadata.version(name) == version, name
        module = __import__(name.replace("-", "_"))
        assert module.__version__ == version, (name, module.__version__, module.__file__)


def check_loading(work: Path, model, inputs) -> None:
    """Saved and loaded, by our classes and by the code that travels."""
    from transformers import AutoConfig, AutoModel
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    from auricle.encoders.auricle_checkpoint import load_pretrained

    expected = model(**inputs, return_loss=True, output_hidden_states=True)
    loaded, _ = load_pretrained(work / "model")
    assert torch.equal(loaded(**inputs).logits_per_audio, expected.logits_per_audio)
    remote = get_class_from_dynamic_module("modeling_auricle.AuricleModel", str(work / "model"))
    assert remote.__module__.startswith("transformers_modules.")
    again = remote.from_pretrained(work / "model")
    assert torch.equal(again(**inputs).logits_per_audio, expected.logits_per_audio)
    assert AutoConfig.from_pretrained(work / "model").projection_dim == 12
    assert type(AutoModel.from_pretrained(work / "model")).__name__ == "AuricleModel"
    assert len(expected.text_model_output.hidden_states) == 3
    expected.loss.backward()


def check_datasets(work: Path, processor) -> None:
    from datasets import Dataset
    from datasets.fingerprint import Hasher

    from auricle.data import load_captioned_folder

    table = load_captioned_folder(work / "sounds", split="train")
    assert len(table)
    rows = Dataset.from_dict({"audio": [row["path"] for row in table["audio"]]})
    got = processor(audio=rows["audio"])
    assert got["segment_counts"].shape == (len(table),)
    mapped = rows.map(
        lambda batch: {"counts": processor(audio=batch["audio"])["segment_counts"].numpy()}, batched=True
    )
    assert mapped["counts"][:] == got["segment_counts"].tolist()
    assert Hasher.hash(processor) == Hasher.hash(processor)


def check_sentence_transformers(work: Path, model, processor) -> None:
    from sentence_transformers import SentenceTransformer

    from auricle.encoders.auricle_embedding import embed_captions, embed_clips

    theirs = SentenceTransformer(str(work / "model"), trust_remote_code=True, device="cpu")
    assert np.abs(theirs.encode(SENTENCES) - embed_captions(model, processor, SENTENCES)).max() < 1e-6
    clip = {"array": sound(1.3, seed=1), "sampling_rate": SAMPLING_RATE}
    assert np.abs(theirs.encode([clip]) - embed_clips(model, processor, [clip])[0]).max() < 1e-6
    assert theirs.max_seq_length == processor.max_text_tokens


def check_training(work: Path) -> None:
    """A stage of whole weights and one of adapters, by `transformers`' Trainer and `peft`."""
    from typer.testing import CliRunner

    from auricle.cli.main import app

    recipe = tiny_recipe(work, work / "sounds")
    recipe["stages"].append({"name": "adapt", "training": {"lora": {"towers": ["audio"], "rank": 2}}})
    done = CliRunner().invoke(
        app, ["train", str(write_recipe(work / "recipe.yaml", recipe)), "--no-progress"]
    )
    assert done.exit_code == 0, done.output
    summary = json.loads((work / "run" / "adapt" / "stage.json").read_text())
    assert summary["parameters"]["trained"] < summary["parameters"]["total"]
    assert (work / "run" / "adapt" / "model" / "adapter").is_dir()


def main() -> None:
    work, wanted = Path(sys.argv[1]), json.loads(sys.argv[2])
    check_versions(wanted)
    model, processor = saved_tiny_model(work / "model")
    clips = [str(write_sound(work / f"{n}.wav", 0.7 + n, seed=n)) for n in range(2)]
    inputs = processor(text=SENTENCES, audio=clips)
    check_loading(work, model, inputs)
    write_captioned_folder(work / "sounds")
    check_datasets(work, processor)
    check_sentence_transformers(work, model, processor)
    check_training(work)
    print("all of it works")


if __name__ == "__main__":
    main()
