"""The planted truth of overlapping captions: right on cases written out, and right for every caption's own clip."""

from pathlib import Path

import numpy as np
import pytest

from auricle.data import SceneSettings, load_scenes, unique_clips
from auricle.data.scenes.claims import Claims, caption_fits, content_from_json, fitting_matrix
from auricle.data.scenes.descriptions import Part, SceneDescription

DOG, LOUD_DOG, TWO_DOGS = Part("dog_bark", 1), Part("dog_bark", 1, None, "loud"), Part("dog_bark", 2)
BELL, RAIN = Part("bell", 1), Part("rain", 1)


@pytest.mark.parametrize(
    ("claims", "scene", "fits"),
    [
        (Claims(None, (DOG,), False), SceneDescription("alone", (LOUD_DOG,)), True),
        (Claims(None, (DOG,), False), SceneDescription("then", (BELL, LOUD_DOG)), True),
        (Claims(None, (DOG,), False), SceneDescription("then", (BELL, TWO_DOGS)), False),
        (Claims(None, (DOG,), False), SceneDescription("while", (BELL, RAIN)), False),
        (Claims(None, (LOUD_DOG,), True), SceneDescription("while", (LOUD_DOG, RAIN)), True),
        (Claims(None, (LOUD_DOG,), True), SceneDescription("while", (DOG, RAIN)), False),
        (Claims("then", (DOG, BELL), False), SceneDescription("then", (LOUD_DOG, BELL)), True),
        (Claims("then", (DOG, BELL), False), SceneDescription("then", (BELL, DOG)), False),
        (Claims("then", (DOG, BELL), True), SceneDescription("then", (LOUD_DOG, BELL)), False),
        (Claims("while", (DOG, RAIN), False), SceneDescription("then", (DOG, RAIN)), False),
        (Claims("then", (DOG, BELL), False), SceneDescription("alone", (DOG,)), False),
    ],
)
def test_the_truth_is_right_on_cases_written_out(claims, scene, fits):
    assert caption_fits(claims, scene) is fits
    assert Claims.from_json(claims.to_json()) == claims


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    settings = SceneSettings(
        train_scenes=150, validation_scenes=20, test_scenes=20, seconds=3.0, overlap=True
    )
    return load_scenes(settings, cache_dir=tmp_path_factory.mktemp("scenes"), progress=False)


def test_captions_fit_their_own_clip_and_others(scenes):
    for split, table in scenes.items():
        clips = unique_clips(table)
        truth = fitting_matrix(table["claims"], clips["content"])
        place = {clip: number for number, clip in enumerate(clips["clip_id"])}
        assert truth[np.arange(len(table)), [place[clip] for clip in table["clip_id"]]].all()
        if split == "train":
            assert truth.sum(axis=1).mean() > 2
            assert (truth.sum(axis=1) == 1).any() and (truth.sum(axis=1) > 5).any()


def test_first_captions_leave_nothing_out_and_others_do(scenes):
    table = scenes["train"]
    for row in table:
        claims, content = Claims.from_json(row["claims"]), content_from_json(row["content"])
        if row["row_id"].endswith("#0"):
            assert claims.says_how and claims.parts == content.parts
        else:
            assert not claims.says_how and not any(part.pitch or part.loudness for part in claims.parts)
        if content.relation != "alone" and claims.relation is None:
            assert len(claims.parts) == 1
    captions = [table[row]["caption"] for row in range(len(table))]
    assert captions == list(table["caption"]) and len(set(captions)) < len(captions)


def test_without_overlap_nothing_changes(tmp_path):
    plain = SceneSettings(train_scenes=2, validation_scenes=1, test_scenes=1, seconds=3.0)
    overlapping = SceneSettings(**{**vars(plain), "overlap": True})
    assert plain.fingerprint() != overlapping.fingerprint()
    tables = [load_scenes(one, cache_dir=tmp_path, progress=False)["train"] for one in (plain, overlapping)]
    assert "claims" not in tables[0].column_names and "claims" in tables[1].column_names
    assert tables[0]["clip_id"][0] == tables[1]["clip_id"][0]
    sounds = [Path(table["audio"][0]["path"]).read_bytes() for table in tables]
    assert sounds[0] == sounds[1]
