"""The notebooks in tutorials/ run as written, on tiny models and tones in place of what their settings name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))


def cells_of(notebook: Path, kind: str) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def run_notebook(notebook: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Runs the code cells in order in one namespace; values of the cell with the settings are replaced."""
    names: dict[str, Any] = {}
    for cell in cells_of(notebook, "code"):
        exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert set(settings) <= set(names), set(settings) - set(names)
            names.update(settings)
    return names


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_notebooks_are_whole_and_small():
    assert len(NOTEBOOKS) == 4
    for notebook in NOTEBOOKS:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        assert content["nbformat"] == 4 and notebook.stat().st_size < 100_000
        assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
        tagged = [
            cell for cell in cells_of(notebook, "code") if cell["metadata"].get("tags") == ["parameters"]
        ]
        assert len(tagged) == 1, notebook.name
        for cell in content["cells"]:
            for target in re.findall(r"\]\(([^)#\s]+)\)", "".join(cell["source"])):
                assert target.startswith("http") or (notebook.parent / target).exists(), (
                    f"{notebook.name}: {target}"
                )


@pytest.mark.slow
def test_search_a_folder(place):
    saved_tiny_model(place / "model")
    for number in range(6):
        write_sound(place / "sounds" / f"{number}.wav", 1.5, seed=number)
    settings = {
        "SOUNDS": str(place / "sounds"),
        "MODEL": str(place / "model"),
        "INDEX": str(place / "sounds.auricle"),
    }
    names = run_notebook(ROOT / "tutorials" / "search_a_folder.ipynb", settings)
    assert names["learned"].fits == names["learned"].misfits == 1
    assert names["best"].path and (place / "results.csv").read_text("utf-8").count("\n") == 6


@pytest.mark.slow
def test_fine_tune_and_evaluate_compare_publish(place):
    folder = write_captioned_folder(place / "sounds")
    recipe = write_recipe(place / "recipe.yaml", tiny_recipe(place, folder))
    settings = {
        "SOUNDS": str(folder),
        "RECIPE": str(recipe),
        "RUN": str(place / "run"),
        "OPTIONS": ["--epochs", "1"],
    }
    names = run_notebook(ROOT / "tutorials" / "fine_tune.ipynb", settings)
    assert names["embeddings"].shape[0] == 5 and names["unreadable"] == []
    saved_tiny_model(place / "other")
    settings = {
        "RUN": str(place / "run"),
        "MODEL": str(place / "run" / names["stage"] / "model"),
        "OTHER": str(place / "other"),
        "DATASET": str(folder),
    }
    names = run_notebook(ROOT / "tutorials" / "evaluate_compare_publish.ipynb", settings)
    assert names["report"]["clips"] == 4 and "| mine |" in (place / "comparison.md").read_text("utf-8")


@pytest.mark.slow
def test_moments_in_long_recordings(place):
    write_sound(place / "night.wav", 12.0, seed=1)
    saved_tiny_model(place / "model")
    settings = {
        "RECORDING": str(place / "night.wav"),
        "MODEL": str(place / "model"),
        "INDEX": str(place / "moments.auricle"),
        "MIN_PERCENTILE": 0,
    }
    names = run_notebook(ROOT / "tutorials" / "moments_in_long_recordings.ipynb", settings)
    assert names["moments"] and (place / "moments.txt").read_text("utf-8").count("\n") == len(
        names["moments"]
    )
