"""`auricle evaluate --index`: what search gives, against brute force over the vectors that the index holds."""

import json
import shutil

import numpy as np
import pytest
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.encoders import load_encoder
from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics_from_similarities
from auricle.search import index_evaluation
from auricle.search.errors import SearchError
from auricle.search.index_evaluation import find_split, index_similarities
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
HALF = 2**-9  # the index keeps float16
CLIPS = 9


@pytest.fixture(scope="module", params=[250_000, 0], ids=["exact", "approximate"])
def place(request, tmp_path_factory):
    """A captioned folder with clips of one to four windows, the index of all its splits, and the model."""
    root = tmp_path_factory.mktemp("evaluate_index")
    saved_tiny_model(root / "model")
    write_captioned_folder(root / "sounds", {"train": 20, "test": CLIPS}, seconds=(0.6, 2.4, 3.3, 1.7))
    index = SoundIndex.create(root / "index", str(root / "model"), exact_windows=request.param)
    index.update([root / "sounds"], progress=False)
    return root


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--no-progress", "--resamples", "20"])
    assert done.exit_code == code, done.output
    return done


def report_of(place, tmp_path, *arguments):
    run("--index", place / "index", place / "sounds", *arguments, "--json", tmp_path / "report.json")
    return json.loads((tmp_path / "report.json").read_text())


def brute_force(place, rank, *, all_files=False):
    """Every query against every file, by the rows of the index's table as an export gives them; and right columns."""
    index = SoundIndex(place / "index")
    table = load_captioned_folder(place / "sounds", split="test")
    own = list(dict.fromkeys(audio["path"] for audio in table["audio"]))
    paths = own + (sorted(set(index.store.files()) - set(own)) if all_files else [])
    rows = index.store.rows(["path", "window", "vector"]).to_pylist()
    text = load_encoder(place / "model", device="cpu").embed_texts(list(table["caption"])).astype(np.float64)
    scores = np.empty((len(text), len(paths)))
    for column, path in enumerate(paths):
        vectors = [
            row["vector"] for row in rows if row["path"] == path and (row["window"] < 0) == (rank == "clip")
        ]
        scores[:, column] = (text @ np.array(vectors, dtype=np.float64).T).max(axis=1)
    return scores, [[own.index(audio["path"])] for audio in table["audio"]]


@pytest.mark.parametrize("rank", ["window", "clip"])
def test_figures_are_those_of_brute_force_over_the_stored_vectors(place, tmp_path, rank):
    report = report_of(place, tmp_path, "--rank", rank)
    scores, right = brute_force(place, rank)
    captions_of = [[query for query, own in enumerate(right) if own == [clip]] for clip in range(CLIPS)]
    for direction, expected in (
        ("text_to_audio", retrieval_metrics_from_similarities(scores, right)),
        ("audio_to_text", retrieval_metrics_from_similarities(scores.T, captions_of)),
    ):
        entries = report["single"][direction]["metrics"]
        assert {name: entry["value"] for name, entry in entries.items()} == pytest.approx(expected)
        assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in entries.values())
    assert report["ranking"] == rank and report["clips"] == CLIPS


def test_windows_are_ranked_unless_something_else_is_asked_for(place, tmp_path):
    assert report_of(place, tmp_path)["ranking"] == "window"


def test_by_clip_the_scores_are_those_of_the_model(place, tmp_path):
    run("--index", place / "index", place / "sounds", "--rank", "clip", "--save", tmp_path / "of_index")
    run(place / "model", place / "sounds", "--save", tmp_path / "of_model")
    of_index, of_model = (
        np.asarray(index_evaluation.Similarities.load(tmp_path / name).scores)
        for name in ("of_index", "of_model")
    )
    assert np.abs(of_index - of_model).max() < HALF
    assert np.abs(of_index - of_model).max() > 0, "the figures are not of the index's float16 vectors"
    paired = report_of(place, tmp_path, "--rank", "clip", "--against", place / "model")
    assert paired["against"] == str(place / "model")
    by_window = np.asarray(
        index_similarities(
            SoundIndex(place / "index"),
            find_split(SoundIndex(place / "index"), load_captioned_folder(place / "sounds", split="test")),
        ).scores
    )
    assert np.abs(by_window - of_model).max() > 0.01


@pytest.mark.parametrize("rank", ["window", "clip"])
def test_all_files_of_the_index_may_be_ranked(place, tmp_path, rank, monkeypatch):
    scores, right = brute_force(place, rank, all_files=True)
    report = report_of(place, tmp_path, "--rank", rank, "--candidates", "index")
    expected = retrieval_metrics_from_similarities(scores, right)
    found = {name: entry["value"] for name, entry in report["single"]["text_to_audio"]["metrics"].items()}
    assert found == pytest.approx(expected)
    assert found["mAP@10"] < retrieval_metrics_from_similarities(*brute_force(place, rank))["mAP@10"]
    assert report["clips"] == CLIPS and report["index"]["other_files"] == 20

    monkeypatch.setattr(index_evaluation, "OTHERS_KEPT", 3)
    index = SoundIndex(place / "index")
    split = find_split(index, load_captioned_folder(place / "sounds", split="test"))
    kept = np.asarray(index_similarities(index, split, rank=rank, candidates="index").scores)[:, CLIPS:]
    assert np.allclose(kept, -np.sort(-scores[:, CLIPS:])[:, :3], atol=1e-6)


def test_ranks_are_those_in_which_search_answers(place):
    index = SoundIndex(place / "index")
    table = load_captioned_folder(place / "sounds", split="test")
    split = find_split(index, table)
    for rank in ("window", "clip"):
        scores = np.asarray(index_similarities(index, split, rank=rank).scores)
        for query in (0, 7):
            hits = index.search(table["caption"][query], top=100, rank=rank, exact=True)
            order = [hit.path for hit in hits if hit.path in split.paths]
            assert order == [split.paths[clip] for clip in np.argsort(-scores[query], kind="stable")]


def test_the_record_says_which_index_and_which_ranking(place, tmp_path):
    report, store = report_of(place, tmp_path, "--rank", "clip"), SoundIndex(place / "index").store
    found = report["index"]
    assert found["fingerprint"] == store.record["fingerprint"] and found["generation"] == store.table.version
    assert (found["files"], found["clips"], found["missing"]) == (29, CLIPS, 0)
    assert found["windows"] == len(store.rows(["path", "window"])) - 29
    assert found["approximate"] == (store.record["exact_windows"] == 0)
    assert found["settings"]["clip_vector"] == "model" and len(found["contents"]) == 64
    assert report["origin"]["ranking"] == "clip"
    shown = run("--index", place / "index", place / "sounds", "--rank", "clip").stdout
    assert (
        "ranked by the vector of the whole file" in shown
        and "20 files of the index are not of the split" in shown
    )
    of_model = run(place / "model", place / "sounds", "--json", tmp_path / "model.json")
    assert "search over" not in of_model.stdout
    assert json.loads((tmp_path / "model.json").read_text())["ranking"] == "clip"


def test_sounds_are_found_by_their_content_wherever_they_lie(place, tmp_path):
    shutil.copytree(place / "sounds", tmp_path / "elsewhere")
    run("--index", place / "index", tmp_path / "elsewhere", "--json", tmp_path / "r.json")
    there = json.loads((tmp_path / "r.json").read_text())
    assert there["index"]["missing"] == 0
    assert there["single"] == report_of(place, tmp_path)["single"]


def test_missing_and_changed_sounds_are_an_error_or_are_counted(place, tmp_path):
    shutil.copytree(place / "sounds", tmp_path / "sounds")
    index = SoundIndex.create(tmp_path / "index", str(place / "model"))
    index.update([tmp_path / "sounds"], progress=False)
    names = sorted(path.name for path in (tmp_path / "sounds").glob("test_*.wav"))
    index.store.remove([str(tmp_path / "sounds" / names[0])])
    write_sound(tmp_path / "sounds" / names[1], 2.0, seed=99)
    (tmp_path / "sounds" / names[2]).rename(tmp_path / "sounds" / "renamed.wav")
    metadata = tmp_path / "sounds" / "metadata.csv"
    metadata.write_text(metadata.read_text().replace(names[2], "renamed.wav"))

    failed = run("--index", tmp_path / "index", tmp_path / "sounds", code=2)
    assert (
        f"2 of {CLIPS} clips of the split are not in" in failed.stderr
        and len(failed.stderr.splitlines()) == 1
    )
    assert "--skip-missing" in failed.stderr and failed.stdout == ""
    arguments = ("--skip-missing", "--json", tmp_path / "r.json")
    done = run("--index", tmp_path / "index", tmp_path / "sounds", *arguments)
    assert f"{names[0]}: it is not in the index" in done.stderr
    assert f"{names[1]}: the file has changed since it was indexed" in done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["clips"], report["index"]["missing"], report["index"]["clips"]) == (CLIPS - 2, 2, CLIPS)
    assert report["single"]["text_to_audio"]["queries"] == 2 * (CLIPS - 2)
    assert f"2 of {CLIPS} clips of the split are not in the index: skipped" in done.stdout


def test_a_split_without_a_sound_in_the_index_and_parts_of_files_are_named(place, tmp_path):
    write_captioned_folder(tmp_path / "others", {"test": 3}, seconds=(0.7,))
    for path in (tmp_path / "others").glob("*.wav"):
        write_sound(path, 0.9, seed=sum(path.name.encode()))
    failed = run("--index", place / "index", tmp_path / "others", "--skip-missing", code=2)
    assert "contains none of the 3 sounds of the split" in failed.stderr

    table = load_captioned_folder(place / "sounds", split="test")
    rows = [
        {**row, "audio": {**row["audio"], "offset": 0.2}} if row["clip_id"].endswith("_020.wav") else row
        for row in table
    ]
    part = find_split(SoundIndex(place / "index"), type(table).from_list(rows, features=table.features))
    assert len(part.paths) == CLIPS - 1 and "part of its file" in part.missing[0][1]


def test_a_moved_model_embeds_the_queries(place, tmp_path):
    for name in ("model", "index", "sounds"):
        shutil.copytree(place / name, tmp_path / name)
    moved = tmp_path / "moved"
    (tmp_path / "model").rename(moved)
    run("--index", tmp_path / "index", moved, place / "sounds")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["SOUNDS"], "DATASET is missing"),
        (["MODEL", "SOUNDS", "--rank", "window"], "only be used with --index"),
        (["MODEL", "SOUNDS", "--skip-missing"], "only be used with --index"),
        (["--index", "INDEX", "SOUNDS", "--rank", "best"], "rank 'best': must be one of window, clip"),
        (
            ["--index", "INDEX", "SOUNDS", "--candidates", "all"],
            "candidates='all': must be one of split, index",
        ),
        (["--index", "SOUNDS", "SOUNDS"], "not an index"),
        (["--index", "INDEX", "SOUNDS", "--candidates", "index", "--save", "x"], "cannot be combined"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place, arguments, told):
    places = {"SOUNDS": place / "sounds", "MODEL": place / "model", "INDEX": place / "index"}
    failed = run(*[places.get(word, word) for word in arguments], code=2)
    assert told in failed.stderr and len(failed.stderr.splitlines()) == 1


def test_an_unknown_ranking_is_refused_in_python(place):
    index = SoundIndex(place / "index")
    split = find_split(index, load_captioned_folder(place / "sounds", split="test"))
    with pytest.raises(SearchError, match="rank 'best'"):
        index_similarities(index, split, rank="best")
