"""Indexes of earlier versions: asked as they are, found by files that lie elsewhere now, brought up to date."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from legacy_formats import INDEX_QUESTIONS, PLACE, answers_of
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search import SoundIndex

pytest.importorskip("lancedb")

# Cosines of float32 unit vectors; of vectors embedded here and kept as float16 one bit of those may be another.
ELSEWHERE, EMBEDDED_ELSEWHERE = 2e-6, 5e-4
# Version 0.1 compared every sound with windows; now that is asked for.
BY_WINDOWS, BY_SPANS = {"rank": "window"}, {"edges": "windows"}
WAITS = 3  # files beside the table: one changed, two new


@pytest.fixture(params=["index", "approximate_index"])
def found(legacy, request, tmp_path):
    """A copy of an index that knows where its model lies now, its files at another place, what it answered."""
    index = Path(shutil.copytree(legacy.unpacked("index") / request.param, tmp_path / "index"))
    library = Path(shutil.copytree(legacy.unpacked("index") / "library", tmp_path / "library"))
    record = json.loads((index / "index.json").read_text())
    assert record["model"] == str(PLACE / "models" / "passt") and not PLACE.exists()
    record["model"] = str(legacy.unpacked("models") / "models" / "passt")
    (index / "index.json").write_text(json.dumps(record))
    assert len(list((index / "pending").iterdir())) == WAITS
    return index, library, legacy.recorded("index_answers")[request.param]


def assert_same_answers(answers, expected, atol):
    """The recorded questions' answers; later versions may have more questions and tell more of a hit."""
    assert len(expected) > 15
    for question, hits in expected.items():
        places = [(hit["path"], hit["start"], hit["end"]) for hit in hits]
        assert [(hit["path"], hit["start"], hit["end"]) for hit in answers[question]] == places, question
        for hit, old in zip(answers[question], hits, strict=True):
            for name, value in old.items():
                if name in ("score", "cosine"):
                    assert hit[name] == pytest.approx(value, rel=0, abs=atol), question
                elif name == "percentile" and value is not None and atol:
                    # One of 48 common questions may fit about as well as the hit.
                    assert hit[name] == pytest.approx(value, abs=2.1), question
                else:
                    assert hit[name] == value, question


def update(index, library):
    return CliRunner().invoke(app, ["index", str(library), "--index", str(index), "--no-progress"])


def test_it_answers_as_it_is(legacy, found):
    index, _, expected = found
    opened = SoundIndex(index)
    assert opened.store.approximate == expected["approximate"]
    assert len(opened) == len(expected["as_found"][f"search {INDEX_QUESTIONS[0]!r}"])
    assert {"roof", "late", "motor"} <= set(opened.tags) and opened.licenses == ["CC-BY-4.0", "CC0-1.0"]
    answers = answers_of(
        opened,
        PLACE / "library",
        legacy.unpacked("models") / "sounds",
        by_windows=BY_WINDOWS,
        by_spans=BY_SPANS,
    )
    assert_same_answers(answers, expected["as_found"], legacy.tolerance(ELSEWHERE))


def test_the_command_prints_its_answers(legacy, found):
    index, _, expected = found
    done = CliRunner().invoke(app, ["search", INDEX_QUESTIONS[0], "--index", str(index), "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    printed = printed if isinstance(printed, list) else printed["answers"]
    hits = expected["as_found"][f"search {INDEX_QUESTIONS[0]!r}"]
    assert [hit["path"] for hit in printed] == [str(PLACE / "library" / hit["path"]) for hit in hits]


def test_an_exported_text_tower_asks_it(legacy, found):
    pytest.importorskip("onnxruntime")
    index, _, expected = found
    opened = SoundIndex(index, text_tower=legacy.unpacked("models") / "onnx")
    for question in INDEX_QUESTIONS:
        hits, old = opened.search(question), expected["as_found"][f"search {question!r}"]
        assert [Path(hit.path).name for hit in hits] == [Path(hit["path"]).name for hit in old]
        np.testing.assert_allclose([hit.score for hit in hits], [hit["score"] for hit in old], atol=1e-5)


def test_an_update_takes_what_is_there_and_embeds_what_waits(legacy, found):
    index, library, expected = found
    done = update(index, library)
    assert done.exit_code == 0, done.output
    # One file was seen by no update that ended; the others are known by their content at their new place.
    assert "1 added, 0 changed, 9 moved, 0 removed, 0 unchanged; 6 windows embedded" in done.stdout
    for name in expected["faults"]:
        assert f"{library / name}: " in done.stderr
    assert done.stderr.count("  skipped ") == len(expected["faults"])
    assert not list((index / "pending").glob("*.arrow"))
    opened = SoundIndex(index)
    assert opened.store.approximate == expected["approximate"] and len(opened) == 10
    answers = answers_of(
        opened,
        library,
        legacy.unpacked("models") / "sounds",
        known=True,
        by_windows=BY_WINDOWS,
        by_spans=BY_SPANS,
    )
    assert_same_answers(answers, expected["updated"], legacy.tolerance(EMBEDDED_ELSEWHERE))
    again = update(index, library)
    assert "0 added, 0 changed, 0 moved, 0 removed, 10 unchanged; 0 windows embedded" in again.stdout
    assert again.stderr.count("  skipped ") == len(expected["faults"])


def test_faults_that_an_older_version_knew_are_tried_again(found):
    index, library, expected = found
    kept = json.loads((index / "faults.json").read_text())
    faults = {path.replace(str(PLACE), str(library.parent)): fault for path, fault in kept["faults"].items()}
    assert sorted(Path(path).relative_to(library).as_posix() for path in faults) == expected["faults"]
    broken = faults[str(library / "broken.wav")]
    os.utime(library / "broken.wav", ns=(broken[1], broken[1]))
    broken[2] = "what the record says"
    # As if this machine's libsndfile had found them: another version of this package may read more.
    kept = {**kept, "decoder": soundfile.__libsndfile_version__, "faults": faults}
    (index / "faults.json").write_text(json.dumps(kept))
    done = update(index, library)
    assert done.exit_code == 0, done.output
    assert f"{library / 'broken.wav'}: this is not an audio file" in done.stderr
    known = json.loads((index / "faults.json").read_text())["faults"]
    known[str(library / "broken.wav")][2] = "what the record says"
    (index / "faults.json").write_text(
        json.dumps(json.loads((index / "faults.json").read_text()) | {"faults": known})
    )
    assert f"{library / 'broken.wav'}: what the record says" in update(index, library).stderr
