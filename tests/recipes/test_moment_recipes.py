"""
The recipes of moment heads at published size: two epochs on a miniature in the data sets' layouts.

`make test-full-size` runs it. The head is whole (about 9 M parameters, vectors of 1,024 numbers); the encoder's towers
are tiny, since they are frozen and only their frames are seen.
"""

import json

import pytest
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import ROOT, run_train

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with both data sets and an encoder of the published width."""
    folder = tmp_path_factory.mktemp("moment_recipes")
    saved_tiny_model(folder / "encoder", projection_dim=1024)
    for name, data in (("castella", "castella"), ("clotho_moment", "clotho-moment")):
        for number, split in enumerate(("train", "val", "test")):
            lines = []
            for clip in range(4):
                vid = f"{split}_{clip}"
                write_sound(folder / name / "audio" / f"{vid}.wav", 61.0, seed=10 * number + clip)
                moments = [[5, 9], [20, 45]]
                lines.append(
                    {
                        "qid": vid,
                        "query": "a dog barks" if clip % 2 else "rain falls",
                        "vid": vid,
                        "duration": 61,
                        "relevant_windows": moments,
                    }
                )
            path = folder / name / f"{data}_{split}_release.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


SMALL = ("--training.precision", "fp32", "--training.num_workers", "0", "--training.epochs", "2")


def test_clotho_moment_and_then_castella(place):
    recipes = ROOT / "recipes"
    common = ("--encoder", "encoder", *SMALL)
    run_train(recipes / "moments_clotho_moment.yaml", *common, cwd=place)
    first = place / "runs" / "moments_clotho_moment" / "head" / "model"
    stage = json.loads((first.parent / "stage.json").read_text())
    assert 7e6 < stage["parameters"] < 10e6
    done = run_train(
        recipes / "moments_castella.yaml", *common, "--starts_from", str(first.relative_to(place)), cwd=place
    )
    assert "R1@0.7" in done.stdout
    results = json.loads((place / "runs" / "moments_castella" / "results.json").read_text())
    assert results["test"]["queries"] == 4
    inputs = json.loads((place / "runs" / "moments_castella" / "head" / "made_from.json").read_text())
    assert inputs["the head it starts from"]["fingerprint"]
