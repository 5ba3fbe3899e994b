"""`auricle ablate` and `auricle card`: what is printed, and one line for whatever is wrong."""

import pytest
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablate")
    sounds = write_captioned_folder(folder / "sounds", {"train": 4, "validation": 1, "test": 2})
    recipe = tiny_recipe(folder, sounds)
    recipe["training"] |= {"epochs": 1}
    recipe["stages"] = [{"name": "only", "augmentation": {"word_deletion": 0.5}}]
    write_recipe(folder / "recipe.yaml", recipe)
    recipe["stages"] = [{"name": "only"}]
    write_recipe(folder / "plain.yaml", recipe)
    return folder


def run(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


@pytest.mark.slow
def test_the_table_is_printed_and_kept_and_the_runs_have_cards(place):
    out = place / "out"
    done = run(
        "ablate",
        place / "recipe.yaml",
        "--seeds",
        "0, 1",
        "--out",
        out,
        "--no-progress",
        "--batch_size",
        "x",
        code=2,
    )
    assert "could be any of training.batch_size, evaluation.batch_size" in done.stderr
    done = run("ablate", place / "recipe.yaml", "--seeds", "0, 1", "--out", out, "--no-progress")
    assert "| augmentation | mAP@16 |" in done.stdout and "* augmentation: " in done.stdout
    assert (out / "ablation.md").read_text().strip() in done.stdout
    shown = run("card", out / "seed-1" / "augmentation", "--print").stdout
    assert "one word deleted with probability 0.5" in shown and str(place) not in shown
    run("card", out / "seed-1" / "augmentation")
    card = (out / "seed-1" / "augmentation" / "only" / "model" / "README.md").read_text()
    assert card.strip() == shown.strip() and card.startswith("---\nlanguage: en\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "PLACE/plain.yaml"], "no stage uses any of distillation, augmentation, clusters"),
        (["ablate", "PLACE/recipe.yaml", "--seeds", "0,x"], "--seeds '0,x': expected integers"),
        (["ablate", "PLACE/recipe.yaml", "--seeds", "1,1"], "give one or more, none twice"),
        (["ablate", "PLACE/none.yaml"], "none.yaml: cannot be read"),
        (["card", "PLACE"], "no run.json found"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place, arguments, message):
    done = run(*[argument.replace("PLACE", str(place)) for argument in arguments], code=2)
    assert message in done.stderr and done.stderr.startswith("error: ")
