"""The planted truth of overlapping captions: right on cases written out, and what the sentences themselves say."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from auricle.data import DataError, SceneSettings, load_scenes, unique_clips, validate_table
from auricle.data.scenes import Claims, PartClaim, caption_fits, fitting_matrix
from auricle.data.scenes.claims import content_from_json, content_to_json
from auricle.data.scenes.descriptions import (
    OVERLAPPING_KINDS,
    Part,
    SceneDescription,
    describe_scene,
    split_of,
)
from auricle.data.scenes.held_out_vocabularies import UNSEEN_WORDINGS
from auricle.data.scenes.kinds import KINDS
from auricle.data.scenes.vocabulary import TRAINING, Vocabulary

SETTINGS = SceneSettings(train_scenes=120, validation_scenes=20, test_scenes=60, seconds=3.0, overlap=True)
BARK, LOUD_BARK, TWO_BARKS = Part("dog-bark"), Part("dog-bark", loudness="loud"), Part("dog-bark", 2)
BELL, RAIN = Part("bell"), Part("rain")
A_BARK, A_BELL = PartClaim("dog-bark", 1, 1), PartClaim("bell", 1, 1)
BARKS, SEVERAL_BARKS = PartClaim("dog-bark", 2), PartClaim("dog-bark", 3)
A_LOUD_BARK, SOME_RAIN = PartClaim("dog-bark", 1, 1, loudness="loud"), PartClaim("rain")


def alone(part: Part) -> SceneDescription:
    return SceneDescription("alone", (part,))


def then(*parts: Part) -> SceneDescription:
    return SceneDescription("then", parts)


def both(*parts: Part) -> SceneDescription:
    return SceneDescription("while", parts)


@pytest.mark.parametrize(
    ("claims", "scene", "fits"),
    [
        (Claims(None, (A_BARK,)), alone(LOUD_BARK), True),
        (Claims(None, (A_BARK,)), alone(BELL), False),
        (Claims(None, (A_BARK,)), then(BELL, LOUD_BARK), True),
        (Claims(None, (A_BARK,)), then(BELL, TWO_BARKS), False),
        (Claims(None, (A_BARK,)), both(BELL, RAIN), False),
        (Claims(None, (BARKS,)), alone(TWO_BARKS), True),
        (Claims(None, (BARKS,)), alone(Part("dog-bark", 4)), True),
        (Claims(None, (BARKS,)), alone(BARK), False),
        (Claims(None, (SEVERAL_BARKS,)), alone(Part("dog-bark", 3)), True),
        (Claims(None, (SEVERAL_BARKS,)), alone(TWO_BARKS), False),
        (Claims(None, (A_LOUD_BARK,)), both(LOUD_BARK, RAIN), True),
        (Claims(None, (A_LOUD_BARK,)), both(BARK, RAIN), False),
        (Claims(None, (PartClaim("bell", 1, 1, pitch="low"),)), alone(Part("bell", pitch="low")), True),
        (Claims(None, (PartClaim("bell", 1, 1, pitch="low"),)), alone(Part("bell", pitch="high")), False),
        (Claims("then", (A_BARK, A_BELL)), then(LOUD_BARK, BELL), True),
        (Claims("then", (A_BARK, A_BELL)), then(BELL, BARK), False),
        (Claims("then", (A_LOUD_BARK, A_BELL)), then(BARK, BELL), False),
        (Claims("then", (A_BARK, A_BELL)), alone(BARK), False),
        (Claims("while", (A_BARK, SOME_RAIN)), then(BARK, RAIN), False),
        (Claims("while", (SOME_RAIN, A_BARK)), both(BARK, RAIN), True),
        (Claims(None, (A_BARK, A_BELL)), then(BARK, BELL), True),
        (Claims(None, (A_BELL, A_BARK)), then(BARK, BELL), True),
        (Claims(None, (SOME_RAIN, A_BARK)), both(BARK, RAIN), True),
        (Claims(None, (A_BARK, A_BELL)), alone(BARK), False),
        (Claims(None, (A_BARK, A_BELL)), then(BARK, RAIN), False),
    ],
)
def test_the_truth_is_right_on_cases_written_out(claims, scene, fits):
    assert caption_fits(claims, scene) is fits
    assert Claims.from_json(claims.to_json()) == claims
    assert content_from_json(content_to_json(scene)) == scene


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def scenes(cache):
    return load_scenes(SETTINGS, cache_dir=cache, progress=False)


def test_captions_fit_their_own_clip_and_others(scenes):
    for table in scenes.values():
        validate_table(table)
        truth, clips = fitting_matrix(table), unique_clips(table)
        assert truth.shape == (len(table), len(clips)) and truth.dtype == bool
        place = {clip: number for number, clip in enumerate(clips["clip_id"])}
        assert truth[np.arange(len(table)), [place[clip] for clip in table["clip_id"]]].all()
        fitting = truth.sum(axis=1)
        if len(clips) >= 60:
            assert fitting.mean() > 3 and fitting.max() < len(clips) / 2
            assert (fitting == 1).any()


def test_the_matrix_is_the_pairwise_truth(scenes):
    table = scenes["validation"]
    clips = [content_from_json(text) for text in unique_clips(table)["content"]]
    expected = [[caption_fits(Claims.from_json(text), clip) for clip in clips] for text in table["claims"]]
    assert (fitting_matrix(table) == np.array(expected)).all()
    # Also where a clip's rows do not stand together.
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.select(order)
    places = {clip: number for number, clip in enumerate(unique_clips(table)["clip_id"])}
    columns = [places[clip] for clip in unique_clips(shuffled)["clip_id"]]
    assert (fitting_matrix(shuffled) == np.array(expected)[order][:, columns]).all()


def said_by(
    caption: str, vocabulary: Vocabulary
) -> tuple[set[str], set[int], set[str], set[str], bool, bool]:
    """Kinds, numbers, pitches and loudnesses that a sentence names, whether many are, and whether in order."""
    text = caption.lower()
    kinds = set()
    names = [
        (form, kind) for kind, some in vocabulary.names.items() for name in some for form in name.split(" | ")
    ]
    for form, kind in sorted(names, key=lambda pair: -len(pair[0])):
        # An article or an adjective may stand in place of the name's own article.
        bare = re.escape(re.sub(r"^an? ", "", form))
        if re.search(rf"\b{bare}\b", text):
            kinds.add(kind)
            text = re.sub(rf"\b{bare}\b", "#", text)

    def named(groups):
        return {key for key, words in groups.items() if any(re.search(rf"\b{w}\b", text) for w in words)}

    numbers = named({n: words for n, words in vocabulary.counts.items() if n > 1})
    many = bool(named({True: vocabulary.several}))
    ordered = re.search(
        r"\b(then|before|after|followed|preceded|giving|ending|next|later|until|subsequent|leading|succeeded|finally)\b",
        text,
    )
    return kinds, numbers, named(vocabulary.pitch), named(vocabulary.loudness), many, bool(ordered)


@pytest.mark.parametrize("split", ["train", *UNSEEN_WORDINGS])
def test_claims_are_what_the_words_say(scenes, split):
    vocabulary = UNSEEN_WORDINGS.get(split, TRAINING)
    for row in scenes[split]:
        claims, parts = Claims.from_json(row["claims"]), Claims.from_json(row["claims"]).parts
        kinds, numbers, pitches, loudnesses, many, ordered = said_by(row["caption"], vocabulary)
        assert kinds == {part.kind for part in parts}, row["caption"]
        assert numbers == {part.at_least for part in parts if part.at_least > 1 and part.at_most is not None}
        assert pitches == {part.pitch for part in parts} - {None}, row["caption"]
        assert loudnesses == {part.loudness for part in parts} - {None}, row["caption"]
        assert many == any(part.at_least == 3 and part.at_most is None for part in parts)
        assert ordered == (claims.relation == "then"), row["caption"]


def test_one_sentence_has_one_truth(scenes):
    claims = defaultdict(set)
    for caption, said in zip(scenes["train"]["caption"], scenes["train"]["claims"], strict=True):
        parts = frozenset(Claims.from_json(said).parts)
        claims[caption].add((Claims.from_json(said).relation, parts))
    assert len(claims) < len(scenes["train"])
    assert all(len(some) == 1 for some in claims.values())


def test_first_captions_leave_nothing_out_and_others_do(scenes):
    left_out = defaultdict(int)
    for row in scenes["train"]:
        claims, content = Claims.from_json(row["claims"]), content_from_json(row["content"])
        if row["row_id"].endswith("#0"):
            assert [(part.kind, part.pitch, part.loudness) for part in claims.parts] == [
                (part.kind, part.pitch, part.loudness) for part in content.parts
            ]
            assert all(
                not KINDS[said.kind].countable or said.at_least == said.at_most == part.count
                for said, part in zip(claims.parts, content.parts, strict=True)
            )
            assert content.relation == "alone" or claims.relation == content.relation
            continue
        left_out["event"] += len(claims.parts) < len(content.parts)
        left_out["order"] += len(claims.parts) == 2 and claims.relation is None
        left_out["number"] += any(said.at_least > 1 and said.at_most is None for said in claims.parts)
        left_out["pitch"] += {p.pitch for p in claims.parts} < {
            p.pitch for p in content.parts if len(claims.parts) == len(content.parts)
        }
    assert all(left_out[what] > 10 for what in ("event", "order", "number", "pitch")), dict(left_out)


def test_splits_share_no_scene():
    cores = {}
    for split in ("train", "validation", "test"):
        drawn = [describe_scene(0, split, index, overlap=True) for index in range(300)]
        cores[split] = {scene.core for scene in drawn}
        assert all(split_of(core, 0) == split for core in cores[split])
        assert {part.kind for scene in drawn for part in scene.parts} == set(OVERLAPPING_KINDS)
        assert {scene.relation for scene in drawn} == {"alone", "then", "while"}
    assert not cores["train"] & cores["test"] and not cores["validation"] & cores["test"]
    assert not cores["train"] & cores["validation"]


def test_overlap_is_deterministic_and_cached_apart(scenes, cache, tmp_path):
    plain = SceneSettings(**{**vars(SETTINGS), "overlap": False})
    assert plain.fingerprint() != SETTINGS.fingerprint()
    few = SceneSettings(train_scenes=3, validation_scenes=2, test_scenes=2, seconds=3.0, overlap=True)
    again = load_scenes(few, cache_dir=tmp_path, progress=False)
    for split, table in again.items():
        for column in ("row_id", "caption", "claims", "content"):
            assert table[column][:] == scenes[split][column][: len(table)]
    sounds = [Path(tables["train"]["audio"][0]["path"]).read_bytes() for tables in (again, scenes)]
    assert sounds[0] == sounds[1]
    # More than there are scenes that differ in their kinds.
    SceneSettings(test_scenes=5000, overlap=True)


def test_tables_without_a_truth_are_refused(scenes, tmp_path):
    few = SceneSettings(train_scenes=1, validation_scenes=1, test_scenes=1, seconds=3.0)
    with pytest.raises(
        DataError, match="the table has no column 'claims'; only generated scenes with overlap have it"
    ):
        fitting_matrix(load_scenes(few, cache_dir=tmp_path, progress=False)["train"])
    table = scenes["validation"]
    broken = table.remove_columns("claims").add_column("claims", ["{}", *table["claims"][1:]])
    with pytest.raises(DataError, match=r"row 0: column 'claims' is '\{\}', but must be"):
        fitting_matrix(broken)
    broken = table.remove_columns("content").add_column("content", ["loud"] * len(table))
    with pytest.raises(DataError, match="clip 0: column 'content' is 'loud', but must be"):
        fitting_matrix(broken)
