"""The fidelity table of docs/fidelity.md is that of today's recipes."""

import fidelity_table
import pytest
from fidelity_table import PAGE, REFERENCES, all_values, page_with_table, table_text


def test_the_page_holds_the_table_of_todays_recipes():
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_table(page), "docs/fidelity.md is stale: run `make fidelity-table`"


def test_a_recipe_that_changes_makes_the_page_stale(monkeypatch):
    page = PAGE.read_text(encoding="utf-8")
    read = fidelity_table.read_recipe
    monkeypatch.setattr(fidelity_table, "read_recipe", lambda path: read(path, {"training.epochs": 19}))
    assert page != page_with_table(page)


def test_every_reference_belongs_to_a_row_and_every_row_is_written_once():
    names = {name for one in all_values().values() for name in one}
    assert set(REFERENCES) <= names
    rows = [line.split("`")[1] for line in table_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(names)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("training.epochs", {"20"}),
        ("training.batch_size", {"64", "24", "16"}),
        ("training.learning_rate", {"2e-05", "1e-05"}),
        ("training.min_learning_rate", {"1e-07"}),
        ("model.temperature", {"0.05"}),
        ("model.projection_dim", {"1024"}),
        ("distillation.weight", {"1"}),
        ("clusters.weight", {"0.05"}),
        ("augmentation.word_deletion", {"0.8"}),
        ("training.weight_decay", {"0"}),
        ("model.text.max_tokens", {"32"}),
    ],
)
def test_what_the_report_states_is_what_the_recipes_have(name, ours):
    assert {one[name] for one in all_values().values() if name in one} == ours
    numbers = {float(text) for text in REFERENCES[name][0].split(",")[: len(ours)]}
    assert numbers == set(map(float, ours))
