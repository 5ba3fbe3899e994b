"""The plan of a chain, what it needs, and the states of steps that are cheap to make."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from chain_miniature import TOWERS, write_chain
from tiny_recipes import ROOT

from auricle.cli.main import COMMANDS
from auricle.evaluation.ensembles.ensemble import Ensemble
from auricle.evaluation.metrics.inner_products import ranks_of
from auricle.evaluation.similarities import Similarities
from auricle.files.json_files import read_json, write_json
from auricle.files.locking import directory_lock
from auricle.training.recipe.recipe_file import RecipeError
from auricle.training.reproduction import running
from auricle.training.reproduction.chain_recipe import read_chain
from auricle.training.reproduction.plan import plan_chain
from auricle.training.reproduction.results_table import COLUMNS, format_results, write_results
from auricle.training.reproduction.running import ReproductionError, run_chain
from auricle.training.reproduction.shopping_list import missing_items, shopping_list
from auricle.training.reproduction.step_making import make_step, remove_run
from auricle.training.reproduction.step_states import Workplace, state_of


@pytest.fixture(scope="module")
def chain():
    return read_chain(ROOT / "recipes" / "dcase2025.yaml")


@pytest.fixture
def miniature(tmp_path):
    return write_chain(tmp_path / "recipes")


def names(steps):
    return [step.name for step in steps]


def test_the_papers_chain_has_every_system_bank_and_ensemble_once(chain):
    steps = plan_chain(chain)
    assert len(set(names(steps))) == len(steps)
    assert Counter(step.kind for step in steps) == {
        "train": 15,
        "evaluate": 15,
        "card": 15,
        "bank": 3,
        "ensemble": 4,
        "evaluate-ensemble": 4,
        "results": 1,
    }
    learning = [step for step in steps if {f"bank sid1_{tower}" for tower in TOWERS} <= set(step.after)]
    assert sorted(step.name for step in learning) == sorted(
        f"train sid{number}_{tower}" for number in (2, 3, 4, 5) for tower in TOWERS
    )


@pytest.mark.parametrize("options", [{}, {"towers": ["eat"]}, {"only": ["E3"]}, {"whole_development": True}])
def test_every_step_comes_after_those_that_it_needs(chain, options):
    before = set()
    for step in plan_chain(chain, **options):
        assert set(step.after) <= before, step.name
        before.add(step.name)


def test_one_run_needs_its_ancestors_and_nothing_else(chain):
    found = names(plan_chain(chain, only=["sid4_passt"]))
    assert found == [
        *(f"train sid1_{tower}" for tower in TOWERS),
        *(f"bank sid1_{tower}" for tower in TOWERS),
        "train sid3_passt",
        "train sid4_passt",
        "evaluate sid4_passt",
        "card sid4_passt",
        "results",
    ]
    assert names(plan_chain(chain, only=["bank sid1_eat"])) == ["train sid1_eat", "bank sid1_eat", "results"]


def test_other_towers_are_trained_only_as_teachers(chain):
    steps = plan_chain(chain, towers=["passt"])
    assert [step.name for step in steps if step.run and step.run.tower == "eat"] == [
        "train sid1_eat",
        "bank sid1_eat",
    ]
    (ensemble,) = [step for step in steps if step.name == "ensemble E1"]
    assert ensemble.after == tuple(f"evaluate sid{number}_passt" for number in (2, 3, 4, 5))


def test_the_whole_development_set_has_runs_and_banks_of_its_own(chain):
    every = {step.name: step for step in plan_chain(chain, whole_development=True)}
    assert "bank whole_sid1_eat" in every["train whole_sid2_passt"].after
    assert "train whole_sid1_passt" in every["train whole_sid2_passt"].after
    assert not any(name.startswith("evaluate whole_") for name in every)
    assert every["ensemble whole_E2"].after[0] == "ensemble E2"
    recipe = chain.recipe(every["train whole_sid4_eat"].run, Path("/d"), Path("/o"))
    assert recipe.data.clotho.train_splits == ["train", "validation", "test"]
    assert recipe.clusters.embed_with == "/o/runs/whole_sid3_eat/finetune/model"


def test_places_are_filled_in_and_all_else_stays_the_recipes(chain):
    recipe = chain.recipe(chain.run("sid3", "beats"), Path("/d"), Path("/o"))
    assert recipe.run_dir == "/o/runs/sid3_beats"
    assert recipe.data.clotho.path == "/d/clotho"
    assert recipe.data.exclude.freesound_ids == "/d/dcase2025_excluded_freesound_ids.csv"
    assert recipe.augmentation.mixes == "/d/augmented/mixes"
    assert recipe.stages[0].starts_from == "/o/runs/sid1_beats/pretrain/model"
    assert [entry.source for entry in recipe.distillation.teachers] == [
        f"/o/banks/sid1_{tower}" for tower in TOWERS
    ]
    assert recipe.training.batch_size == 16 and recipe.augmentation.word_deletion == 0.8
    first = chain.recipe(chain.run("sid1", "eat"), Path("/d"), Path("/o"))
    assert first.model.audio.pretrained == "/d/weights/eat"
    assert first.augmentation.mixes is None and first.data.wavcaps.path == "/d/wavcaps"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"towers": ["past"]}, "--towers 'past': unknown tower; the towers are passt, eat, beats"),
        ({"only": ["sid6_passt"]}, "--only 'sid6_passt': no such run, ensemble or step"),
        ({"only": ["whole_sid2_passt"]}, "the ensembles E1, E2, E3, E4"),
    ],
)
def test_unknown_names_are_refused_with_those_that_exist(chain, options, told):
    with pytest.raises(RecipeError, match=told):
        plan_chain(chain, **options)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tower": ["passt"]}, "tower: Extra inputs are not permitted"),
        ({"members": ["sid9"]}, "members: 'sid9' is not a system"),
        (
            {"systems": {"sid1": "gone_{tower}.yaml"}, "members": [], "ensembles": {}},
            "gone_passt.yaml: cannot be read",
        ),
        ({"members": []}, "ensembles need members"),
        ({"ensembles": {"E1": {"inner": "model"}}}, "ensembles.E1.inner"),
    ],
)
def test_a_wrong_recipe_of_recipes_is_named(miniature, change, told):
    values = yaml.safe_load(miniature.read_text()) | change
    miniature.write_text(yaml.safe_dump(values))
    with pytest.raises(RecipeError, match=told):
        read_chain(miniature)


def test_a_recipe_that_names_a_foreign_result_is_refused(miniature):
    path = miniature.parent / "sid2_eat.yaml"
    path.write_text(path.read_text().replace("runs/sid1_eat/", "runs/sid0_eat/"))
    with pytest.raises(
        RecipeError, match="names runs/sid0_eat/pretrain/model, which is not a result of the chain"
    ):
        read_chain(miniature)


def test_an_empty_directory_lacks_everything_and_every_command_exists(chain, tmp_path):
    items = shopping_list(chain, plan_chain(chain), tmp_path / "data")
    missing = missing_items(items)
    places = {Path(item.place).name for item in missing}
    assert {"clotho", "wavcaps", "passt", "eat", "beats", "mixes", "back_translated"} <= places
    commands = [command.split() for item in missing for command in item.get if command.startswith("auricle ")]
    assert len(commands) == 10
    assert {words[1] for words in commands} <= {command.name for command in COMMANDS}
    assert not (tmp_path / "data").exists()


def test_only_what_the_steps_need_is_listed(chain, tmp_path):
    steps = plan_chain(chain, only=["sid1_passt"])
    places = {Path(item.place).name for item in shopping_list(chain, steps, tmp_path)}
    assert "passt" in places
    assert not places & {"eat", "beats", "mixes", "back_translated"}


def test_a_bank_alone_needs_the_data_and_mixes_that_it_holds(chain, tmp_path):
    steps = plan_chain(chain, only=["bank sid1_passt"])
    items = {Path(item.place).name: item for item in shopping_list(chain, steps, tmp_path)}
    assert items["mixes"].wanted_by == ("the banks",) and items["mixes"] in missing_items(items.values())
    assert items["clotho"].wanted_by == ("sid1", "the banks")
    assert not items.keys() & {"back_translated", "eat", "beats"}


def test_what_is_there_is_found_also_in_folders_of_archives(chain, tmp_path):
    steps = plan_chain(chain, only=["sid1_passt"])
    clotho = tmp_path / "clotho"
    (clotho / "inner").mkdir(parents=True)
    parts = ("development", "validation", "evaluation")

    def missing():
        (item,) = [one for one in shopping_list(chain, steps, tmp_path) if one.place == str(clotho)]
        return item.missing

    for part in parts[:2]:
        (clotho / "inner" / f"clotho_captions_{part}.csv").touch()
    assert missing() == "without clotho_captions_evaluation.csv"
    (clotho / "clotho_captions_evaluation.csv").touch()
    assert missing() == ""


def test_every_row_of_the_papers_tables_is_a_run_or_an_ensemble(chain):
    paper = chain.section.paper
    assert set(paper) == {f"sid{number}_{tower}" for number in range(1, 6) for tower in TOWERS} | {"E1"}
    assert all(set(row) == set(COLUMNS) for row in paper.values())
    assert paper["E1"]["multi mAP@16"] == 48.83 and paper["sid2_passt"]["multi mAP@16"] == 46.62
    lines = format_results(
        chain, [{"name": "E1", "current": True, "measured": {"R@1": [1, 0.5, 2]}, "paper": paper["E1"]}]
    )
    assert lines[-2] == "| E1 |  |  |  | 1.00 [0.50, 2.00] |  |  |"
    assert lines[-1] == "| *E1, paper* | *48.83* | *46.07* | *41.60* | *28.33* | *59.71* | *72.06* |"


def test_results_keep_rows_of_earlier_calls_and_mark_outdated_ones(chain, tmp_path):
    interval = {"value": 0.25, "low": 0.125, "high": 0.5}
    metrics = dict.fromkeys(("mAP@10", "mAP@16", "R@1", "R@5", "R@10"), interval)
    report = {"single": {"text_to_audio": {"queries": 4, "metrics": metrics}}}
    for name in ("sid2_eat", "E1"):
        write_json(tmp_path / "evaluation" / f"{name}.json", report)
    steps = {step.name: step for step in plan_chain(chain)}
    evaluated = [
        (steps[name], current)
        for name, current in (
            ("evaluate sid2_eat", False),
            ("evaluate sid3_eat", True),
            ("evaluate E1", True),
        )
    ]
    lines = write_results(chain, evaluated, tmp_path)
    assert "| sid2_eat (outdated) |  |  | 25.00 [12.50, 50.00] |" in "\n".join(lines)
    assert (tmp_path / "results.md").read_text().splitlines() == lines
    rows = read_json(tmp_path / "results.json")["rows"]
    assert [(row["name"], row["current"]) for row in rows] == [("sid2_eat", False), ("E1", True)]
    assert rows[1]["queries"] == {"single": 4} and rows[1]["measured"]["R@1"] == [25.0, 12.5, 50.0]


def similarities(seed, split):
    scores = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    return Similarities(
        scores,
        [f"q{n}" for n in range(6)],
        [f"caption {n}" for n in range(6)],
        [f"clotho/{split}/{n}.wav" for n in range(3)],
        np.arange(6) // 2,
        "clotho",
        split,
        str(seed),
    )


@pytest.fixture
def evaluated(miniature, tmp_path):
    """A chain whose members have similarities, with the steps of its first ensemble."""
    place = Workplace(read_chain(miniature), tmp_path / "data", tmp_path / "out")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "relevance.csv").write_text(
        "query,audio_filenames\ncaption 0,\"['0.wav', '2.wav']\"\n"
    )
    steps = {step.name: step for step in plan_chain(place.chain)}
    for number, run in enumerate(place.members(steps["ensemble E1"])):
        for split in ("validation", "test"):
            similarities(number + 100 * (split == "test"), split).save(place.similarities_dir(split, run))
    return place, steps


def test_an_ensemble_is_searched_evaluated_and_searched_again_if_a_member_changed(evaluated):
    place, steps = evaluated
    search, evaluation = steps["ensemble E1"], steps["evaluate E1"]
    assert state_of(search, place).kind == "to do"
    for step in (search, evaluation):
        make_step(step, place, write_card=None)
        assert state_of(step, place).kind == "done"
    ensemble = Ensemble.load(place.out / "ensembles" / "E1.json")
    assert ensemble.members[0].model == str(place.out / "runs" / "sid2_passt" / "finetune" / "model")
    assert str(place.out) not in (place.out / "ensembles" / "E1.json").read_text()
    assert sum(member.weight for member in ensemble.members) == pytest.approx(1)
    assert [member.name for member in ensemble.members][:3] == ["sid2/passt", "sid2/eat", "sid2/beats"]
    members = place.members(search)
    total = sum(
        member.weight * np.asarray(Similarities.load(place.similarities_dir("validation", run)).scores)
        for member, run in zip(ensemble.members, members, strict=True)
    )
    ranks = np.array([(total[query] > total[query, query // 2]).sum() for query in range(6)])
    assert ensemble.how["ensemble"] == pytest.approx(np.mean(1 / (ranks + 1)))
    assert len(ranks_of(total, [[query // 2] for query in range(6)])[0]) == 6
    submission = (place.out / "submissions" / "E1.csv").read_text().splitlines()
    assert len(submission) == 2 and submission[1].startswith("caption 0,")

    similarities(999, "validation").save(place.similarities_dir("validation", members[4]))
    state = state_of(search, place)
    assert state.kind == "outdated"
    assert state.reasons == (f"validation similarities of {members[4].name} changed",)
    assert state_of(evaluation, place).kind == "done"
    (place.data_dir / "relevance.csv").write_text("query,audio_filenames\ncaption 1,\"['0.wav']\"\n")
    assert state_of(evaluation, place).reasons == ("the relevance file changed",)


def test_a_step_that_was_killed_before_its_record_is_to_do(evaluated):
    place, steps = evaluated
    make_step(steps["ensemble E2"], place, write_card=None)
    place.record_path(steps["ensemble E2"]).unlink()
    assert state_of(steps["ensemble E2"], place).kind == "to do"


def test_a_card_is_written_again_if_the_run_changed(evaluated):
    place, steps = evaluated
    step = steps["card sid1_eat"]
    run = place.out / "runs" / "sid1_eat"
    write_json(run / "pretrain" / "stage.json", {"steps": 1})
    write_json(run / "results.json", {})
    (run / "pretrain" / "model").mkdir()
    make_step(step, place, lambda where: (where / "pretrain" / "model" / "README.md").write_text("card"))
    assert state_of(step, place).kind == "done"
    write_json(run / "pretrain" / "stage.json", {"steps": 2})
    assert state_of(step, place).reasons == ("the run's record changed",)
    remove_run(step.run, place)
    assert not run.exists() and state_of(step, place).kind == "to do"


def test_a_run_of_another_recipe_is_outdated(evaluated):
    place, steps = evaluated
    run = place.out / "runs" / "sid1_eat"
    recipe = place.chain.recipe(steps["train sid1_eat"].run, place.data_dir, place.out)
    recorded = recipe.model_dump(mode="json", exclude={"output_dir", "description"})
    recorded["training"]["epochs"] = 7
    write_json(run / "run.json", {"recipe": recorded, "precision": {}})
    state = state_of(steps["train sid1_eat"], place)
    assert state.kind == "outdated" and "training.epochs is 7" in state.reasons[0]


def test_a_second_process_is_refused(miniature, tmp_path, monkeypatch):
    place = Workplace(read_chain(miniature), tmp_path / "data", tmp_path / "out")
    monkeypatch.setattr(running, "LOCK_SECONDS", 0.1)
    with (
        directory_lock(tmp_path / "out", running.LOCK, seconds=1),
        pytest.raises(ReproductionError, match="another process"),
    ):
        run_chain([], place, write_card=None, say=print)
