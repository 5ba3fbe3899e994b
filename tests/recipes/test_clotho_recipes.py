"""
Every recipe of recipes/clotho at published size: random weights, two steps, a miniature in Clotho's layout.

Some 25 minutes of CPU time, 16 GB of memory and 30 GB of disk; `make test-full-size` runs it, nothing else does.
"""

import json
import shutil
import subprocess
import sys

import pytest
from miniature_clotho import write_miniature_clotho
from miniature_sources import WAVCAPS_FILES, write_miniature_audiocaps, write_miniature_wavcaps
from tiny_models import tiny_text_encoder_dir
from tiny_recipes import ROOT, environment, weights_of

from auricle.training.rows.synonyms import SynonymError, WordNet

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(1800)]

TOWERS = ("passt", "eat", "beats")
# What a graphics card, the data and the published weights would bring is left out; the networks are whole.
SMALL = {
    "model.text.pretrained": "null",
    "model.text.config": "{model_type: roberta, hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, "
    "intermediate_size: 4096, vocab_size: 50265, max_position_embeddings: 514, hidden_dropout_prob: 0.2, "
    "attention_probs_dropout_prob: 0.2}",
    "training.precision": "fp32",
    "training.batch_size": "2",
    "training.epochs": "0.4",
    "training.num_workers": "0",
    "training.log_every": "1",
    "training.save_every": "1000",
    "evaluation.batch_size": "2",
    "clusters.method": "kmeans",
    "clusters.num_clusters": "2",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with the data; runs come to lie in it, as the recipes name them."""
    folder = tmp_path_factory.mktemp("clotho_recipes")
    write_miniature_clotho(folder / "clotho", {"train": 2, "validation": 1, "test": 2}, seconds=1.0)
    write_miniature_audiocaps(folder / "audiocaps", {"train": 1, "validation": 1, "test": 1})
    write_miniature_wavcaps(folder / "wavcaps", dict.fromkeys(WAVCAPS_FILES, 1), first=90)
    (folder / "dcase2025_excluded_freesound_ids.csv").write_text("sound_id\n354184\nNot found\n")
    for job in (["back-translate"], ["mix", "--count", "3"]):
        out = "augmented/back_translated" if job[0] == "back-translate" else "augmented/mixes"
        command = [
            sys.executable,
            "-m",
            "auricle",
            "augment",
            job[0],
            "clotho",
            out,
            *job[1:],
            "--no-progress",
        ]
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True, timeout=300)
    tiny_text_encoder_dir(folder / "tokenizer")
    yield folder
    shutil.rmtree(folder)


def has_wordnet() -> bool:
    """Whether WordNet's files are here: without them words are deleted alone."""
    try:
        WordNet()
    except SynonymError:
        return False
    return True


def train(place, sid, tower):
    """Runs a recipe with its own chain of models; returns the last stage's record and directory."""
    options = SMALL | {
        "model.text.tokenizer": str(place / "tokenizer"),
        "data.cache_dir": str(place / "cache"),
    }
    if sid == 1:
        options["model.audio.pretrained"] = "none"
        # Its rows are those of three data sets: two steps are less of an epoch.
        options["training.epochs"] = "0.16"
    if sid >= 3:
        # Its rows are those of Clotho and three mixes: 13.
        options["training.epochs"] = "0.3"
        options["augmentation.synonyms"] = str(has_wordnet()).lower()
    if sid == 5:
        # Stands in for e5-large-v2: the same kind of source, but its weights come as a package.
        options["clusters.embed_with"] = "sentence-transformers/all-MiniLM-L6-v2"
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    command = [sys.executable, ROOT / "train.py", ROOT / f"recipes/clotho/sid{sid}_{tower}.yaml", *arguments]
    done = subprocess.run(
        [*map(str, command), "--no-progress"],
        cwd=place,
        env=environment(OMP_NUM_THREADS="2"),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    stage = (
        place
        / "runs"
        / f"sid{sid}_{tower}"
        / {1: "pretrain", 2: "finetune", 3: "finetune"}.get(sid, "refinetune")
    )
    for checkpoint in stage.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return json.loads((stage / "stage.json").read_text()), stage


@pytest.mark.parametrize("tower", TOWERS)
def test_sid1(place, tower):
    record, stage = train(place, 1, tower)
    assert record["steps"] == 2
    assert sum(value.numel() for value in weights_of(stage / "model").values()) > 430e6


@pytest.mark.parametrize("tower", TOWERS)
def test_sid2(place, tower):
    record, stage = train(place, 2, tower)
    assert record["steps"] == 2
    assert [teacher["source"] for teacher in record["teachers"]] == [
        f"runs/sid1_{one}/pretrain/model" for one in TOWERS
    ]
    assert all("loss_distillation" in entry for entry in record["log"] if "loss" in entry)
    shutil.rmtree(stage / "model")


@pytest.mark.parametrize("tower", TOWERS)
def test_sid3(place, tower):
    record, _ = train(place, 3, tower)
    assert record["steps"] == 2 and len(record["teachers"]) == 3


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("sid", [4, 5])
def test_sid4_and_sid5(place, sid, tower):
    record, stage = train(place, sid, tower)
    assert record["steps"] == 2
    assert record["clusters"]["num_clusters"] == 2
    expected = f"runs/sid3_{tower}/finetune/model" if sid == 4 else "sentence-transformers/all-MiniLM-L6-v2"
    assert record["clusters"]["source"]["name"] == expected
    assert any("text_cluster_head" in name for name in weights_of(stage / "model"))
    assert all("loss_cluster_text" in entry for entry in record["log"] if "loss" in entry)
    shutil.rmtree(stage / "model")
