"""The study's parts against the package's losses, brute force and SciPy; finished rows are skipped, others are not."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import run as study
import torch
from esc10_mixes import (
    NAMES,
    MixSettings,
    draw_claims,
    draw_scene,
    mix_description,
    put_into_words,
    student_fold,
)
from plots import forest, scatter
from scene_data import SceneSplit, read_splits, write_splits
from scipy import stats
from study_rows import ROWS, StudyRow
from table import bounds_of, interval, paired_differences, read_rows, verdicts
from teacher_targets import cross_fitted_targets, mean_targets, target_quality
from tiny_models import tiny_model
from training_loop import _distillation, train

from auricle.data.scenes import caption_fits
from auricle.modeling.contrastive_loss import contrastive_loss
from auricle.processing.sound_mix import SUFFIX, render_mix
from auricle.training.losses.distillation_loss import distillation_loss
from auricle.training.recipe.schema import TrainingSection

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(7)
CLIPS, ROWS_OF_CLIP = 6, 2
CLIP_OF_ROW = np.repeat(np.arange(CLIPS), ROWS_OF_CLIP)
FOLDS = np.array([0, 1, 1, 0, 1, 0])


def split_of(truth: np.ndarray, model=None) -> SceneSplit:
    width = model.config.text_config.hidden_size if model else 3
    features = (16, model.config.audio_config.num_mel_bins) if model else (4, 2)
    return SceneSplit(
        torch.from_numpy(RNG.standard_normal((CLIPS, *features)).astype(np.float32)),
        torch.from_numpy(RNG.standard_normal((len(CLIP_OF_ROW), width)).astype(np.float32)),
        CLIP_OF_ROW,
        truth,
        tuple(f"clip-{number}" for number in range(CLIPS)),
    )


def random_truth() -> np.ndarray:
    truth = RNG.random((CLIPS, len(CLIP_OF_ROW))) < 0.3
    return truth | (np.arange(CLIPS)[:, None] == CLIP_OF_ROW)


# ------------------------------------------------------------------------------------------------------ targets


def test_a_clip_and_a_caption_get_the_targets_of_their_own_folds_teacher():
    similarities = RNG.standard_normal((2, CLIPS, len(CLIP_OF_ROW)))
    targets = cross_fitted_targets(list(similarities), FOLDS, CLIP_OF_ROW, blocks=True)
    for clip in range(CLIPS):
        for row, own in enumerate(CLIP_OF_ROW):
            assert targets.per_audio[clip, row] == similarities[FOLDS[clip], clip, row]
            assert targets.per_text[clip, row] == similarities[FOLDS[own], clip, row]
    mean = mean_targets(list(similarities))
    assert np.allclose(mean.per_audio, similarities.mean(axis=0), atol=1e-6) and mean.folds is None


def test_targets_that_are_the_truth_have_no_distance_from_it_and_false_ones_have():
    split = split_of(random_truth())
    perfect = mean_targets([np.where(split.truth, 0.0, -1.0)])
    quality = target_quality(perfect, split, batch_size=8, temperature=0.01)
    for direction in ("audio_to_text", "text_to_audio"):
        assert quality[f"{direction}_variation"] == quality[f"{direction}_calibration"] == 0.0
        assert quality[f"{direction}_auc_unlabelled"] == 1.0
        assert quality[f"{direction}_own"] == quality[f"{direction}_true_own"] < 1.0
        assert quality[f"{direction}_labels_variation"] > 0.0
    reverse = target_quality(mean_targets([-perfect.per_audio]), split, batch_size=8, temperature=0.01)
    assert reverse["text_to_audio_auc_unlabelled"] == 0.0 and reverse["text_to_audio_variation"] > 0.9


def test_distance_and_area_are_those_of_brute_force():
    split = split_of(random_truth())
    values = RNG.standard_normal(split.truth.shape)
    rows = len(CLIP_OF_ROW)
    # A batch of all rows is the same in any order.
    quality = target_quality(mean_targets([values]), split, batch_size=rows, temperature=0.5)
    distances, areas = [], []
    for row in range(rows):
        exponents = np.exp(values[CLIP_OF_ROW, row].astype(np.float32) / 0.5)
        wanted = split.truth[CLIP_OF_ROW, row] / split.truth[CLIP_OF_ROW, row].sum()
        distances.append(abs(exponents / exponents.sum() - wanted).sum() / 2)
        others = [clip for clip in range(CLIPS) if clip != CLIP_OF_ROW[row]]
        pairs = [
            values[good, row] > values[bad, row]
            for good in others
            for bad in others
            if split.truth[good, row] and not split.truth[bad, row]
        ]
        areas += [np.mean(pairs)] if pairs else []
    assert quality["text_to_audio_variation"] == pytest.approx(np.mean(distances), abs=1e-4)
    assert quality["text_to_audio_auc_unlabelled"] == pytest.approx(np.mean(areas), abs=1e-4)


# ----------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("blocks", [False, True])
def test_the_loops_distillation_is_the_packages_loss(blocks):
    similarities = RNG.standard_normal((2, CLIPS, len(CLIP_OF_ROW))).astype(np.float32)
    targets = cross_fitted_targets(list(similarities), FOLDS, CLIP_OF_ROW, blocks=blocks)
    rows = np.array([1, 4, 7, 8, 11])
    clips = CLIP_OF_ROW[rows]
    student = torch.from_numpy(RNG.uniform(-1, 1, (5, 5)).astype(np.float32))
    found = float(_distillation(student, targets, clips, rows, 0.2))
    per_audio = torch.from_numpy(targets.per_audio[np.ix_(clips, rows)])
    per_text = torch.from_numpy(targets.per_text[np.ix_(clips, rows)])
    if not blocks:
        assert found == pytest.approx(
            float(distillation_loss(student, per_audio, 0.2, student.T, per_text.T)), abs=1e-6
        )
        return
    expected = 0.0
    for query in range(5):
        same = np.flatnonzero(FOLDS[clips] == FOLDS[clips[query]])
        for given, learned in (
            (per_audio[query, same], student[query, same]),
            (per_text[same, query], student[same, query]),
        ):
            expected -= float((given.div(0.2).softmax(0) * learned.div(0.2).log_softmax(0)).sum()) / 5
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_step_of_the_loop_is_one_of_the_packages_losses_and_leaves_the_text_tower_alone():
    model = tiny_model()
    split = split_of(random_truth(), model)
    targets = mean_targets([RNG.uniform(-1, 1, split.truth.shape).astype(np.float32)])
    rows = len(CLIP_OF_ROW)
    section = TrainingSection(
        epochs=1,
        batch_size=rows,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_share=0.0,
        contrastive_weight=0.7,
    )
    trained = train(model, split, section, seed=3, targets=targets, distillation_temperature=0.3)
    # One step of AdamW without decay moves every weight by the rate against the sign of its gradient.
    order = np.random.default_rng(3).permutation(rows)
    clips = split.clip_of_row[order]
    model.train()
    outputs = model(
        input_features=split.features[clips],
        pooled_text=split.captions[order],
        generator=torch.Generator().manual_seed(3),
    )
    similarities = outputs.audio_embeds @ outputs.text_embeds.T
    labels = torch.from_numpy(clips[:, None] == clips[None, :])
    given = torch.from_numpy(targets.per_audio[np.ix_(clips, order)])
    loss = 0.7 * contrastive_loss(outputs.logit_scale * similarities, labels)
    loss = loss + distillation_loss(similarities, given, 0.3)
    loss.backward()
    after, moved = dict(trained.named_parameters()), 0
    for name, value in model.named_parameters():
        if name.startswith("text_model."):
            assert torch.equal(value, after[name])
        elif value.grad is not None:
            clear = value.grad.abs() > 1e-4
            step = (value - after[name]).detach()[clear]
            assert (step.sign() == value.grad[clear].sign()).all(), name
            moved += int(clear.sum())
    assert moved > 100


# ---------------------------------------------------------------------------------------------------- statistics


def test_intervals_are_scipys_of_the_paired_differences():
    first, second = RNG.standard_normal(8), RNG.standard_normal(8)
    figures = {
        "a": dict(zip(range(11, 19), first, strict=True)),
        "b": dict(zip(range(10, 18), np.r_[9.0, second[:7]], strict=True)),
    }
    differences = paired_differences(figures, "a", "b")
    expected = stats.ttest_rel(first[:7], second[:7]).confidence_interval(0.95)
    assert bounds_of(differences) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval(differences) == f"{np.mean(differences):+.4f} [{expected.low:+.4f}, {expected.high:+.4f}]"
    assert interval([0.5]) == "+0.5000" and interval([]) == ""


@pytest.mark.parametrize(
    ("gain", "spread", "stands"),
    [
        (0.02, 0.001, (False, True, True)),
        (0.02, 0.1, (True, False, False)),
        (-0.02, 0.001, (True, False, False)),
    ],
)
def test_hypotheses_are_decided_by_the_intervals_ends_alone(gain, spread, stands):
    noise = spread * np.array([-1.5, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.5])
    flat, moved = dict(enumerate(np.full(8, 0.4))), dict(enumerate(0.4 + gain + noise))
    first = verdicts({"control": flat, "seen": moved})
    assert len(first) == 1 and ("does not help) stands" in first[0]) == stands[0]
    others = verdicts({"control": flat, "seen": flat, "swapped": flat, "cross_fit": moved})[1:]
    assert tuple(" stands: " in text for text in others) == stands[1:]


def test_plots_have_every_row():
    drawn = forest({"seen": [0.01, 0.02], "cross_fit": [-0.03, -0.01]})
    assert drawn.count("<circle") == 2 and "cross_fit" in drawn and "2 seeds" in drawn
    assert scatter({"seen": (0.4, 0.01), "other": (0.5, 0.02)}).count("<circle") == 2


# ---------------------------------------------------------------------------------------------------------- rows


def write_row(directory: Path, name: str, seed: int, recipe_hash: str) -> None:
    directory.mkdir(exist_ok=True)
    row = {"row": name, "seed": seed, "recipe_hash": recipe_hash}
    study.row_path(directory, name, seed).write_text(json.dumps(row))


def test_a_finished_row_is_skipped_and_one_of_another_recipe_is_not(tmp_path, monkeypatch):
    asked = []

    def asking(*arguments):
        asked.append(arguments)
        raise InterruptedError

    monkeypatch.setattr(study, "Workshop", asking)
    wanted = study.row_hash(study.RECIPE, ROWS["seen"])
    write_row(tmp_path / "rows", "seen", 3, wanted)
    study.run_seed(study.RECIPE, ["seen"], 3, tmp_path / "rows", tmp_path)
    assert not asked
    for names, seed in ((["seen", "control"], 3), (["seen"], 4)):
        with pytest.raises(InterruptedError):
            study.run_seed(study.RECIPE, names, seed, tmp_path / "rows", tmp_path)
    write_row(tmp_path / "rows", "seen", 3, "other")
    with pytest.raises(InterruptedError):
        study.run_seed(study.RECIPE, ["seen"], 3, tmp_path / "rows", tmp_path)
    write_row(tmp_path / "rows", "seen", 4, wanted)
    with pytest.raises(SystemExit, match="made by another recipe"):
        read_rows(tmp_path / "rows")


@pytest.mark.parametrize(
    ("directory", "data"),
    [(study.ROWS_DIR, None), (study.ESC10_ROWS_DIR, {"esc10_mixes": asdict(MixSettings())})],
)
def test_committed_rows_are_of_todays_recipe_and_study(directory, data):
    paths = sorted(directory.glob("*.json"))
    assert paths
    for path in paths:
        row = json.loads(path.read_text())
        assert study.is_finished(path, study.row_hash(study.RECIPE, ROWS[row["row"]], data)), path.name
        assert path.name == f"{row['row']}-{row['seed']}.json"


def test_a_rows_hash_is_of_its_settings_its_recipe_and_its_data(tmp_path):
    base = study.row_hash(study.RECIPE, StudyRow("seen"))
    other = tmp_path / "recipe.yaml"
    other.write_text(study.RECIPE.read_text().replace("epochs: 24", "epochs: 25"))
    described = tmp_path / "described.yaml"
    described.write_text(study.RECIPE.read_text().replace("description: ", "description: more "))
    hashes = [
        base,
        study.row_hash(study.RECIPE, replace(StudyRow("seen"), temperature=0.1)),
        study.row_hash(other, StudyRow("seen")),
        study.row_hash(study.RECIPE, StudyRow("seen"), {"esc10_mixes": {}}),
    ]
    assert len(set(hashes)) == 4 and study.row_hash(described, StudyRow("seen")) == base


def test_seeds_are_numbers_and_ranges():
    parser = argparse.ArgumentParser()
    assert study.seeds_of("11-13,20", parser) == [11, 12, 13, 20]
    with pytest.raises(SystemExit):
        study.seeds_of("eleven", parser)


def test_splits_come_back_as_they_were_kept(tmp_path):
    split = split_of(random_truth())
    write_splits(tmp_path / "kept.pt", {"train": split})
    found = read_splits(tmp_path / "kept.pt")["train"]
    assert torch.equal(found.features, split.features) and (found.truth == split.truth).all()
    assert found.clip_ids == split.clip_ids and (found.clip_of_row == split.clip_of_row).all()


# --------------------------------------------------------------------------------------------------- ESC-10 mixes


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two recordings a class: half a second of noise at another place and level in each."""
    import soundfile

    folder, found = tmp_path_factory.mktemp("recordings"), {}
    for kind in NAMES:
        for number in range(2):
            waveform = np.zeros(5 * 16_000)
            start = int(RNG.integers(0, 60_000))
            waveform[start : start + 8_000] = RNG.uniform(0.05, 0.6) * RNG.uniform(-1, 1, 8_000)
            path = folder / f"{kind}-{number}.wav"
            soundfile.write(path, waveform, 16_000)
            found.setdefault(kind, []).append(str(path))
    return found


def test_captions_are_true_of_their_scene_and_leave_things_out(recordings):
    rng = np.random.default_rng(1)
    scenes = [draw_scene("3", recordings, 3, rng) for _ in range(60)]
    said = [claims for scene in scenes for _, claims in scene.captions]
    assert {len(scene.description.parts) for scene in scenes} == {2, 3}
    assert {scene.description.relation for scene in scenes} == {"then", "while"}
    for scene in scenes:
        assert all(caption_fits(claims, scene.description) for _, claims in scene.captions)
        complete = scene.captions[0][1]
        assert complete.relation == scene.description.relation
        assert [part.kind for part in complete.parts] == [part.kind for part in scene.description.parts]
        assert all(
            path in recordings[part.kind]
            for part, path in zip(scene.description.parts, scene.recordings, strict=True)
        )
    fits = np.array([[caption_fits(claims, scene.description) for claims in said] for scene in scenes])
    assert 2 < fits.sum(axis=0).mean() < 20
    two = next(scene.description for scene in scenes if scene.description.relation == "then")
    backwards = replace(two, parts=two.parts[::-1])
    assert not caption_fits(draw_claims(two, rng, complete=True), backwards)
    text = put_into_words(draw_claims(two, rng, complete=True), rng)
    first, second = (
        min(text.lower().find(n.lower()) for n in NAMES[p.kind] if n.lower() in text.lower())
        for p in two.parts
    )
    assert 0 <= first < second


def test_a_scene_is_rendered_without_clipping_its_parts_in_order_and_foreground_louder(recordings, tmp_path):
    from esc10_mixes import _load

    rng, settings = np.random.default_rng(2), MixSettings()
    scenes = [draw_scene("3", recordings, 3, rng) for _ in range(30)]
    for number, scene in enumerate(scenes):
        mix = mix_description(scene, settings, rng)
        path = tmp_path / f"{number}{SUFFIX}"
        path.write_text(json.dumps(mix))
        waveform, rate = render_mix(path, _load, offset=0.0, duration=None)
        assert len(waveform) == rate * 5 and 0.001 < abs(waveform).max() <= 1.0
        if scene.description.relation == "then":
            assert [part["start"] for part in mix["parts"]] == [0.0, 2.5]
            assert min(abs(waveform[: rate * 5 // 2]).max(), abs(waveform[rate * 5 // 2 :]).max()) > 0.001
        if scene.description.parts[0].loudness == "loud":
            levels = []
            for part in mix["parts"][:2]:
                sound = _load(part["path"], sampling_rate=rate)
                levels.append(20 * np.log10(part["gain"] * np.sqrt((sound[sound != 0] ** 2).mean())))
            assert 8.0 < levels[0] - levels[1] < 16.0


def test_the_students_halves_are_folds_of_esc_10():
    assert student_fold(("fold-4/0", "fold-2/1", "fold-4/2")).tolist() == [1, 0, 1]
