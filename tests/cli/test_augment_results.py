"""`auricle augment quality` and `push`: how near new captions are to old ones, and what is published of them."""

import io
import json

import pyarrow.parquet as parquet
import pytest
import yaml
from tiny_models import tiny_text_encoder_dir
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.hub.augmentation_card import collect_augmentation
from auricle.hub.publishing import PublishError


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["augment", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A back-translation and a mix, by rules, of a folder with an absolute path."""
    root = tmp_path_factory.mktemp("jobs")
    folder = write_captioned_folder(root / "private-place" / "sounds")
    run("back-translate", folder, root / "back", "--no-progress")
    run("mix", folder, root / "mix", "--count", "3", "--no-progress")
    return root


def sentence_model(folder):
    """A random sentence encoder: mean of a tiny BERT's tokens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(tiny_text_encoder_dir(folder / "bert")))
    SentenceTransformer(modules=[words, Pooling(16)], device="cpu").save(str(folder / "model"))
    return folder / "model"


@pytest.mark.parametrize("job", ["back", "mix"])
def test_own_sources_are_nearer_than_others(jobs, job, tmp_path):
    pytest.importorskip("sentence_transformers")
    out = run("quality", jobs / job, "--embed-with", sentence_model(tmp_path), "--no-progress")
    similarity = json.loads((jobs / job / "job.json").read_text())["similarity"]
    assert (
        similarity["to_others"] < similarity["mean"] <= 1
        and similarity["lowest_twentieth"] <= similarity["mean"]
    )
    assert f"mean {similarity['mean']:.3f}" in out
    assert similarity["captions"] == json.loads((jobs / job / "job.json").read_text())["kept"]


def test_what_is_published_of_back_translations(jobs):
    files = collect_augmentation(jobs / "back", "someone/captions-back").files
    assert sorted(files) == ["README.md", "captions.parquet", "job.json"]
    table = parquet.read_table(io.BytesIO(files["captions.parquet"]))
    assert table.num_rows and {"row_id", "captions_backtranslated", "languages"} <= set(table.column_names)
    card = files["README.md"].decode()
    header = yaml.safe_load(card.split("---")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": "captions.parquet"}]
    assert "Made by rules, not by a language model" in card and "rule-based" in header["tags"]


def test_no_path_and_no_sound_is_published_of_mixes(jobs):
    files = collect_augmentation(jobs / "mix", "someone/mixes").files
    rows = parquet.read_table(io.BytesIO(files["mixes.parquet"])).to_pylist()
    assert len(rows) == 3
    for row in rows:
        assert len(row["mixed_from"]) == len(row["gains"]) == len(row["starts"]) == 2
        assert row["caption"] and "file_name" not in row
    for name, content in files.items():
        assert b"private-place" not in content, name
        assert str(jobs).encode() not in content, name


def test_the_dry_run_shows_the_card_and_asks_nobody(jobs):
    out = run("push", jobs / "back", "someone/captions-back", "--dry-run")
    assert "captions.parquet: " in out and "# captions-back" in out


def test_what_cannot_be_published(jobs, tmp_path):
    with pytest.raises(PublishError, match="'no spaces allowed' is not a repository name"):
        collect_augmentation(jobs / "back", "no spaces allowed")
    with pytest.raises(PublishError, match="no job.json found"):
        collect_augmentation(tmp_path, "someone/captions")
    assert "neither captions.parquet nor metadata.jsonl found" in run("quality", tmp_path, code=2)
