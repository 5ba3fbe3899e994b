"""
The chain of `auricle reproduce` at published size: one system with three teachers, two steps a training.

Random weights that lie where converted ones would, miniatures in the layouts of the data sets. Some ten minutes of CPU
time, 12 GB of memory and 25 GB of disk; `make test-full-size` runs it, nothing else does.
"""

import json
import shutil

import pytest
import torch
import yaml
from chain_miniature import auricle
from miniature_clotho import write_miniature_clotho
from miniature_sources import WAVCAPS_FILES, write_miniature_audiocaps, write_miniature_wavcaps
from tiny_models import tiny_text_encoder_dir
from tiny_recipes import ROOT, weights_of

from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(5400)]

TOWERS = ("passt", "eat", "beats")
ROBERTA_LARGE = {
    "model_type": "roberta",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
}
# What makes an epoch of each system two steps: SID 1 reads three data sets, SID 2 Clotho alone.
EPOCHS = {"sid1": 0.16, "sid2": 0.4}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full_size_chain")
    data = folder / "data"
    write_miniature_clotho(data / "clotho", {"train": 2, "validation": 1, "test": 2}, seconds=1.0)
    write_miniature_audiocaps(data / "audiocaps", {"train": 1, "validation": 1, "test": 1})
    write_miniature_wavcaps(data / "wavcaps", dict.fromkeys(WAVCAPS_FILES, 1), first=90)
    (data / "dcase2025_excluded_freesound_ids.csv").write_text("sound_id\n354184\nNot found\n")
    (data / "dcase2025_relevance.csv").write_text("query,audio_filenames\n")
    auricle("augment", "mix", data / "clotho", data / "augmented/mixes", "--count", "3", "--no-progress")
    for tower in TOWERS:
        kind = f"auricle_{tower}"
        torch.manual_seed(0)
        AUDIO_MODELS[kind](AUDIO_CONFIGS[kind]()).save_pretrained(data / "weights" / tower)
    yield folder
    shutil.rmtree(folder)


def write_published_chain(folder):
    """dcase2025.yaml as it is, but for the text tower's weights, the batch, and how long is trained."""
    chain = yaml.safe_load((ROOT / "recipes" / "dcase2025.yaml").read_text())
    for system, epochs in EPOCHS.items():
        for tower in TOWERS:
            recipe = {
                "extends": str(ROOT / "recipes" / "clotho" / f"{system}_{tower}.yaml"),
                "name": f"{system}_{tower}",
                "training": {"epochs": epochs},
            }
            (folder / f"{system}_{tower}.yaml").write_text(yaml.safe_dump(recipe))
    chain["systems"] = {system: f"{system}_{{tower}}.yaml" for system in EPOCHS}
    chain["members"] = ["sid2"]
    chain["relevance"] = None
    chain["paper"] = {name: row for name, row in chain["paper"].items() if name[:4] in EPOCHS}
    chain["needs"] = [need for need in chain["needs"] if "relevance" not in need["path"]]
    chain["batch_size"] = 2
    chain["fields"] = {
        "model.text.pretrained": None,
        "model.text.config": ROBERTA_LARGE,
        "model.text.tokenizer": str(tiny_text_encoder_dir(folder / "tokenizer")),
        "training.precision": "fp32",
        "training.batch_size": 2,
        "training.num_workers": 0,
        "training.log_every": 1,
        "training.save_every": 1000,
        "evaluation.batch_size": 2,
        "data.cache_dir": str(folder / "cache"),
    }
    path = folder / "chain.yaml"
    path.write_text(yaml.safe_dump(chain, sort_keys=False))
    return path


def test_a_system_with_its_three_teachers_at_published_size(place):
    chain = write_published_chain(place)
    only = ("--only", "sid2_passt", "--no-progress")
    auricle("reproduce", chain, place / "data", place / "out", *only, timeout=5000)
    runs = place / "out" / "runs"
    for name in (*(f"sid1_{tower}/pretrain" for tower in TOWERS), "sid2_passt/finetune"):
        record = json.loads((runs / name / "stage.json").read_text())
        assert record["steps"] == 2, name
        assert sum(value.numel() for value in weights_of(runs / name / "model").values()) > 430e6
    assert [teacher["source"] for teacher in record["teachers"]] == [
        str(place / "out" / "banks" / f"sid1_{tower}") for tower in TOWERS
    ]
    rows = {row["name"]: row for row in json.loads((place / "out" / "results.json").read_text())["rows"]}
    assert rows["sid2_passt"]["queries"] == {"single": 10}
    again = auricle("reproduce", chain, place / "data", place / "out", *only, timeout=600)
    steps = [line for line in again.stderr.splitlines() if line.startswith("[")]
    assert len(steps) == 9 and all(line.endswith(": done") for line in steps), again.stderr
