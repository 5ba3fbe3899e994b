"""Comparisons of encoders with planted truth: figures, differences, what is kept, and what fails."""

import json
import shutil

import numpy as np
import pytest
from planted import PlantedEncoder
from safetensors.numpy import load_file, save_file
from tiny_models import write_sound
from tiny_recipes import write_captioned_folder

from auricle.data import DataError, load_captioned_folder
from auricle.encoders import EncoderError
from auricle.evaluation.comparison import comparing
from auricle.evaluation.comparison.compared_split import digest_of_split
from auricle.evaluation.comparison.comparing import ComparisonOptions, compare_systems, prepare_split
from auricle.evaluation.comparison.systems import ComparisonError, System, read_systems
from auricle.evaluation.ensembles.ensemble import Ensemble, Member
from auricle.evaluation.protocol import evaluate_similarities
from auricle.evaluation.reports.comparison_table import comparison_markdown, format_comparison
from auricle.evaluation.similarities import compute_similarities, weighted_sum

PARTS = (("single", "text_to_audio"), ("single", "audio_to_text"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparing") / "sounds"
    return write_captioned_folder(folder, {"test": 24}, captions=2, seconds=(0.1,))


@pytest.fixture(scope="module")
def table(sounds):
    return load_captioned_folder(sounds, split="test")


@pytest.fixture
def models():
    """By location; a test may change them."""
    return {
        "good": PlantedEncoder(1.0),
        "bad": PlantedEncoder(4.0, seed=1, license=None, parameters=2_500_000),
    }


@pytest.fixture
def compare(table, models, tmp_path):
    """Compares systems by their arguments; models are those of the fixture."""

    def load(location):
        if location not in models:
            raise EncoderError(f"{location}: no such model.")
        return models[location]

    def run(*arguments, data=table, relevant=None, fresh=False, lines=None, **options):
        split, kept = prepare_split(data, tmp_path / "cache", fresh=fresh)
        settings = ComparisonOptions(**{"resamples": 60, "speed_clips": 3, **options})
        announce = (lines if lines is not None else []).append
        systems = read_systems([str(argument) for argument in arguments])
        split = split.with_relevance(relevant)
        report = compare_systems(systems, split, kept, settings, load=load, announce=announce)
        return json.loads(json.dumps(report))

    return run


def named(report, name):
    return next(system for system in report["systems"] if system["name"] == name)


def test_figures_and_differences_are_those_of_one_evaluation_each(compare, models, table):
    relevant = {0: [0], 3: [1, 2], 5: [2, 3, 4, 5]}
    report = compare("good", "bad", relevant=relevant)
    good, bad = (compute_similarities(models[name], table, name=name) for name in ("good", "bad"))
    alone = evaluate_similarities(good, relevant=relevant, resamples=60)
    paired = evaluate_similarities(bad, against=good, relevant=relevant, resamples=60)
    for kind in ("single", "multi", "multi_by_relevant"):
        assert named(report, "good")[kind] == alone[kind]
        assert named(report, "bad")[kind] == paired[kind]
    assert named(report, "bad")["single"]["text_to_audio"]["difference"]["R@1"]["high"] < 0
    assert report["reference"] == {"choice": "first", "name": "good"}
    assert (report["clips"], report["queries"], report["ranked_by"]) == (24, 48, "multi text_to_audio mAP@16")


@pytest.mark.parametrize(("choice", "name"), [("first", "bad"), ("best", "good"), ("other", "other")])
def test_the_reference_is_the_first_the_best_or_a_name(compare, models, choice, name):
    models["third"] = PlantedEncoder(2.0, seed=3)
    report = compare("bad", "good", "other=third", reference=choice)
    assert report["reference"]["name"] == name
    for system in report["systems"]:
        assert ("difference" in system["single"]["text_to_audio"]) == (system["name"] != name)


def test_facts_of_a_model_and_its_speed_in_this_run(compare, models):
    report = compare("good", "bad")
    bad = named(report, "bad")
    assert (bad["num_parameters"], bad["license"], bad["window_seconds"]) == (2_500_000, None, 10.0)
    assert bad["fingerprint"] == models["bad"].fingerprint and bad["precision"] == "float32"
    assert bad["clips_per_second"] > 0 and bad["query_milliseconds"] > 0
    assert report["speed_clips"] == 3 and report["machine"]["threads"] >= 1
    # The whole split, then one and three clips for the speed.
    assert [count for what, count in models["bad"].embedded if what == "clips"] == [24, 1, 3]
    unmeasured = compare("good", speed_clips=0)
    assert named(unmeasured, "good")["clips_per_second"] is None


def test_a_stopped_call_goes_on_and_its_figures_are_those_of_one_that_was_not(compare, models, tmp_path):
    class Stopped(PlantedEncoder):
        def embed_clips(self, clips, **options):
            raise KeyboardInterrupt

    whole = models["bad"]
    models["bad"] = Stopped(4.0, seed=1)
    with pytest.raises(KeyboardInterrupt):
        compare("good", "bad")
    models["bad"] = whole
    models["good"].embedded.clear()
    lines = []
    report = compare("good", "bad", lines=lines)
    assert [count for what, count in models["good"].embedded if what == "clips"] == [1, 3]
    assert (named(report, "good")["from_cache"], named(report, "bad")["from_cache"]) == (True, False)
    assert lines == ["[1/2] good", "  similarities taken from the cache", "[2/2] bad"]
    again = compare("good", "bad")
    shutil.rmtree(tmp_path / "cache")
    unbroken = compare("good", "bad")
    for name in ("good", "bad"):
        for kind, part in PARTS:
            assert named(report, name)[kind][part] == named(unbroken, name)[kind][part]
            assert named(again, name)[kind][part] == named(unbroken, name)[kind][part]


def test_another_model_under_the_same_name_is_computed_again(compare, models):
    before = named(compare("good"), "good")
    models["good"] = PlantedEncoder(5.0, seed=9)
    after = named(compare("good"), "good")
    assert not after["from_cache"] and after["fingerprint"] != before["fingerprint"]
    assert after["single"] != before["single"]
    # The same weights run in another precision are another system too.
    models["good"] = PlantedEncoder(5.0, seed=9)
    models["good"].precision = "int8"
    assert not named(compare("good"), "good")["from_cache"]


def test_fresh_takes_nothing_and_embeds_a_shared_member_once(compare, models, tmp_path):
    compare("good", "bad")
    Ensemble((Member("g", "good", 0.5), Member("b", "bad", 0.5))).save(tmp_path / "both.json")
    models["good"].embedded.clear()
    report = compare("good", "bad", tmp_path / "both.json", fresh=True)
    assert not named(report, "good")["from_cache"]
    assert [count for what, count in models["good"].embedded if what == "clips"] == [24, 1, 3]


def test_changed_captions_or_sounds_are_another_split(compare, models, sounds, tmp_path):
    compare("good")
    moved = tmp_path / "elsewhere" / "sounds"
    shutil.copytree(sounds, moved)
    same = load_captioned_folder(moved, split="test")
    assert named(compare("good", data=same), "good")["from_cache"]
    write_sound(moved / "test_003.wav", 0.1, seed=99)
    other = load_captioned_folder(moved, split="test")
    assert digest_of_split(other) != digest_of_split(same.select(range(46)))
    assert not named(compare("good", data=other), "good")["from_cache"]
    text = (sounds / "metadata.csv").read_text().replace("a dog barks 0 x", "the dog barks 0 x")
    shutil.copy(sounds / "test_003.wav", moved / "test_003.wav")
    (moved / "metadata.csv").write_text(text)
    assert not named(compare("good", data=load_captioned_folder(moved, split="test")), "good")["from_cache"]


def test_what_is_damaged_is_computed_again(compare, models, tmp_path, caplog):
    before = named(compare("good"), "good")
    (values,) = tmp_path.glob("cache/*/*/values-*.safetensors")
    (matrix,) = tmp_path.glob("cache/*/*/similarities/similarities.safetensors")
    (info,) = tmp_path.glob("cache/*/split.json")
    values.write_bytes(values.read_bytes()[:-40])
    matrix.write_bytes(b"")
    info.write_text("{")
    after = named(compare("good"), "good")
    assert not after["from_cache"] and after["single"] == before["single"]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 3
    assert named(compare("good"), "good")["from_cache"]


def test_kept_figures_are_used(compare, tmp_path):
    """What lies there is what is reported: ranks of a large split are not computed again."""
    compare("good")
    (path,) = tmp_path.glob("cache/*/*/values-*.safetensors")
    save_file({name: np.zeros_like(array) for name, array in load_file(path).items()}, path)
    assert named(compare("good"), "good")["single"]["text_to_audio"]["metrics"]["R@10"]["value"] == 0
    # Other annotations are other figures.
    multi = named(compare("good", relevant={0: [0]}), "good")
    assert multi["single"]["text_to_audio"]["metrics"]["R@10"]["value"] > 0


def test_an_ensemble_is_the_weighted_sum_and_adds_up_its_members(compare, models, table, tmp_path):
    Ensemble((Member("g", "good", 0.75), Member("b", "bad", 0.25), Member("x", "nowhere", 0.0))).save(
        tmp_path / "mix.json"
    )
    report = compare("good", "bad", f"mix={tmp_path / 'mix.json'}")
    mix, good, bad = (named(report, name) for name in ("mix", "good", "bad"))
    members = [compute_similarities(models[name], table, name=name) for name in ("good", "bad")]
    expected = evaluate_similarities(weighted_sum(members, [0.75, 0.25], "mix"), resamples=60)
    assert mix["single"]["audio_to_text"]["metrics"] == expected["single"]["audio_to_text"]["metrics"]
    assert mix["num_parameters"] == 2_501_000 and mix["embedding_dim"] == 64
    assert mix["license"] is None and mix["window_seconds"] == 10
    each = 1 / good["clips_per_second"] + 1 / bad["clips_per_second"]
    assert mix["clips_per_second"] == pytest.approx(1 / each)
    assert mix["query_milliseconds"] == pytest.approx(good["query_milliseconds"] + bad["query_milliseconds"])
    assert [member["weight"] for member in mix["members"]] == [0.75, 0.25]


def test_saved_similarities_stand_for_a_model_and_must_be_of_these_rows(compare, models, table, tmp_path):
    compute_similarities(models["good"], table, name="good").save(tmp_path / "saved")
    some = table.select(range(10, 48))
    compute_similarities(models["good"], some, name="some").save(tmp_path / "some")
    swapped = table.select([*range(46, 48), *range(46)])
    compute_similarities(models["good"], swapped, name="swapped").save(tmp_path / "swapped")
    report = compare("good", tmp_path / "saved", tmp_path / "some", tmp_path / "swapped")
    saved = named(report, str(tmp_path / "saved"))
    assert saved["kind"] == "similarities" and saved["num_parameters"] is None
    assert saved["single"]["text_to_audio"]["difference"]["mAP@16"] == {"value": 0, "low": 0, "high": 0}
    assert "sounds test has 24 clips, some has 19" in named(report, str(tmp_path / "some"))["error"]
    assert "the same clips in another order" in named(report, str(tmp_path / "swapped"))["error"]


def test_a_bad_system_does_not_stop_the_others(compare, models, tmp_path):
    class Broken(PlantedEncoder):
        def embed_texts(self, sentences, **options):
            return np.full((len(sentences), 32), np.nan, dtype=np.float32)

    class Strange(PlantedEncoder):
        def embed_clips(self, clips, **options):
            raise KeyError("tower")

    models |= {"broken": Broken(1.0, seed=5), "strange": Strange(1.0, seed=6)}
    Ensemble((Member("g", "good", 0.5), Member("n", "nowhere", 0.5))).save(tmp_path / "e.json")
    lines = []
    systems = ["nowhere", "broken", "strange", tmp_path / "e.json", tmp_path / "none.json", "good"]
    report = compare(*systems, lines=lines)
    errors = [system["error"] for system in report["systems"]]
    assert errors[0] == "nowhere: no such model."
    assert "every one must be finite" in errors[1]
    assert errors[2] == "KeyError: 'tower'"
    assert errors[3] == "member 'n': nowhere: no such model."
    assert errors[4].endswith("none.json: ensemble file not found.")
    assert errors[5] is None and named(report, "good")["single"]["text_to_audio"]["queries"] == 48
    assert report["reference"]["name"] is None
    assert [line for line in lines if line.startswith("  failed")] == [f"  failed: {e}" for e in errors[:5]]
    text = "\n".join(format_comparison(report))
    assert "5 of 6 systems could not be evaluated" in text and "the reference (first) could not" in text
    assert "nowhere (failed)" in text and "difference from" not in text


def test_a_comparison_of_failures_alone_is_still_a_table(compare):
    report = compare("nowhere")
    assert "1 of 1 systems could not be evaluated" in "\n".join(format_comparison(report))
    assert "- nowhere: no such model." in comparison_markdown(report)


def test_unreadable_clips_are_left_out_for_all_and_decoded_once(compare, sounds, tmp_path, monkeypatch):
    folder = tmp_path / "holes" / "sounds"
    shutil.copytree(sounds, folder)
    (folder / "test_002.wav").write_bytes(b"RIFF")
    data = load_captioned_folder(folder, split="test")
    (folder / "test_007.wav").unlink()
    report = compare("good", "bad", data=data)
    assert [clip["clip_id"].rsplit("/", 1)[1] for clip in report["unreadable"]] == [
        "test_002.wav",
        "test_007.wav",
    ]
    assert (report["clips"], report["queries"]) == (22, 44)
    assert "2 unreadable clips" in "\n".join(format_comparison(report))
    monkeypatch.setattr(comparing, "find_unreadable", None)
    assert compare("good", data=data)["unreadable"] == report["unreadable"]
    for path in folder.glob("*.wav"):
        path.write_bytes(b"")
    monkeypatch.undo()
    with pytest.raises(DataError, match="24 of 24 clips are bad"):
        compare("good", data=data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no systems are given"),
        (["a=x", "a=y"], "the name 'a' occurs twice"),
        (["x", "x"], "the name 'x' occurs twice"),
        (["=x"], "expected a model, or NAME=MODEL"),
        (["a="], "expected a model, or NAME=MODEL"),
    ],
)
def test_arguments_that_name_no_system(arguments, message):
    with pytest.raises(ComparisonError, match=message):
        read_systems(arguments)


def test_a_path_with_an_equals_sign_is_a_location(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1").mkdir()
    assert read_systems(["lr=1", "b=lr=1"]) == [System("lr=1", "lr=1"), System("b", "lr=1")]


def test_an_unknown_reference_is_refused_before_anything_is_embedded(compare, models):
    with pytest.raises(ComparisonError, match="--reference 'worst': expected first, best, or one of"):
        compare("good", reference="worst")
    assert models["good"].embedded == []
