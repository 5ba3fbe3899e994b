"""Queries as users type them: true to what the clips hold, in wording of their own, judged kind by kind."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_models import tiny_model_and_processor
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import SceneSettings, unique_clips
from auricle.data.scenes.dataset import _build_split
from auricle.data.scenes.descriptions import describe_scene
from auricle.data.scenes.held_out_vocabularies import HELD_OUT
from auricle.data.scenes.vocabulary import TRAINING
from auricle.evaluation.user_queries import (
    QUERY_KINDS,
    UserQuery,
    UserQueryError,
    evaluate_user_queries,
    format_user_queries,
    label_queries,
    scene_queries,
)
from auricle.evaluation.user_queries.label_queries import LABEL_KINDS
from auricle.evaluation.user_queries.query_report import random_average_precision, trap_values
from auricle.evaluation.user_queries.scene_queries import description_of

FUNCTION_WORDS = {"a", "an", "and", "as", "at", "by", "in", "of", "the", "to", "with"}


@pytest.fixture(scope="module")
def table():
    settings = SceneSettings(train_scenes=1, validation_scenes=1, test_scenes=120, seconds=3.0)
    return _build_split(settings, Path("nowhere"), "test", "test")


@pytest.fixture(scope="module")
def scenes(table):
    return [description_of(key) for key in unique_clips(table)["scene"]]


@pytest.fixture(scope="module", params=[TRAINING, HELD_OUT], ids=["training names", "unseen names"])
def vocabulary(request):
    return request.param


@pytest.fixture(scope="module")
def queries(table, vocabulary):
    return scene_queries(table, vocabulary=vocabulary, per_kind=25, seed=3)


class Oracle:
    """Embeds clip i as unit vector i, and a query as the sum of the clips planted for it."""

    def __init__(self, places: dict[str, tuple[int, ...]], clips: int):
        self.places, self.clips = places, clips

    def embed_texts(self, texts, **_):
        vectors = np.zeros((len(texts), self.clips), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, list(self.places[text])] = 1 / len(self.places[text]) ** 0.5
        return vectors


def named_in(text: str, vocabulary) -> list[str]:
    """Kinds of sound that a query names, in the order in which their names stand there."""
    names = [
        (re.sub(r"^an? ", "", form), kind)
        for kind, some in vocabulary.names.items()
        for name in some
        for form in name.split(" | ")
    ]
    found = []
    for name, kind in sorted(names, key=lambda pair: -len(pair[0])):
        while match := re.search(rf"\b{re.escape(name)}\b", text):
            found.append((match.start(), kind))
            text = text[: match.start()] + "#" * len(name) + text[match.end() :]
    return [kind for _, kind in sorted(found)]


def test_a_scene_is_read_back_from_its_key():
    for split, index in itertools.product(("train", "validation", "test"), range(80)):
        description = describe_scene(0, split, index)
        assert description_of(description.key) == description
    for wrong in ("", "alone: 1 unicorn", "alone: knock", "alone: 1 loud low knock extra", "1 knock"):
        with pytest.raises(UserQueryError, match="describes no generated scene"):
            description_of(wrong)


def test_every_kind_has_different_queries_that_something_fits(queries):
    assert list(dict.fromkeys(query.kind for query in queries)) == list(QUERY_KINDS)
    assert len({(query.kind, query.text) for query in queries}) == len(queries)
    for query in queries:
        assert query.relevant and list(query.relevant) == sorted(set(query.relevant))
        assert not set(query.relevant) & set(query.traps)


def test_relevant_clips_and_traps_are_what_the_words_say(queries, scenes, vocabulary):
    """Read from the text of each query alone, by other code than that which made it."""
    numerals = {word: number for number, words in vocabulary.counts.items() for word in words}
    for query in queries:
        sounds = named_in(query.text, vocabulary)
        holding = [{part.kind for part in scene.parts} for scene in scenes]
        if query.kind == "without":
            wanted, excluded = sounds
            fits = [wanted in here and excluded not in here for here in holding]
            holds = [wanted in here for here in holding]
        elif query.kind == "count":
            (wanted,) = sounds
            (number,) = [numerals[word] for word in numerals if re.search(rf"\b{word}\b", query.text)]
            fits = [
                any(part.kind == wanted and part.count == number for part in scene.parts) for scene in scenes
            ]
            holds = [wanted in here for here in holding]
        elif query.kind == "order":
            first, second = reversed(sounds) if "earlier" in query.text else sounds
            fits = [
                scene.relation == "then" and [part.kind for part in scene.parts] == [first, second]
                for scene in scenes
            ]
            holds = [{first, second} <= here for here in holding]
        else:
            assert len(sounds) == (2 if query.kind in ("two words", "both") else 1), query.text
            fits = [set(sounds) <= here for here in holding]
            holds = fits
        assert query.relevant == tuple(np.flatnonzero(fits)), query.text
        assert set(query.traps) == set(np.flatnonzero(holds)) - set(query.relevant), query.text


def test_without_always_has_traps_and_count_mostly(queries):
    traps = {kind: [bool(query.traps) for query in queries if query.kind == kind] for kind in QUERY_KINDS}
    assert all(traps["without"]) and np.mean(traps["count"]) > 0.5
    assert not any(any(traps[kind]) for kind in ("tag", "question", "command", "paraphrase", "both"))


def test_queries_use_no_word_and_no_sentence_of_training_captions():
    sentences = {one for some in QUERY_KINDS.values() for one in some}
    templates = {one for some in TRAINING.templates.values() for one in some}
    assert not sentences & templates

    def words(texts):
        return set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", " ".join(texts)))) - FUNCTION_WORDS

    groups = (TRAINING.templates, TRAINING.names, TRAINING.counts, TRAINING.loudness, TRAINING.pitch)
    trained = words(text for group in groups for some in group.values() for text in some)
    assert not words(sentences) & trained


def test_a_draw_is_repeated_by_its_seed_alone(table):
    first, again, other = (scene_queries(table, per_kind=5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_an_oracle_is_perfect_and_a_model_deaf_to_conditions_is_named_weak(queries, scenes):
    clips = np.eye(len(scenes), dtype=np.float32)
    truth = evaluate_user_queries(
        Oracle({query.text: query.relevant for query in queries}, len(scenes)), clips, queries, resamples=50
    )
    assert truth["weak"] == {}
    for part in truth["kinds"].values():
        assert part["reached"] == pytest.approx(1) and part["metrics"]["R@1"]["value"] == 1
        assert part["traps"] is None or part["traps"]["value"] == 1
    deaf = evaluate_user_queries(
        Oracle({query.text: query.relevant + query.traps for query in queries}, len(scenes)),
        clips,
        queries,
        resamples=50,
    )
    assert {"without", "count"} <= set(deaf["weak"]) <= {"without", "count", "order"}
    assert deaf["kinds"]["without"]["traps"]["value"] == 0.5
    lines = format_user_queries(deaf)
    assert lines[0].startswith("kind") and len(lines) == 1 + len(QUERY_KINDS) + len(deaf["weak"])
    assert any(line.startswith("weak: without") and "chance 0.50" in line for line in lines)


def test_traps_are_compared_in_pairs():
    queries = [UserQuery("a", "count", (0, 2), (1, 3)), UserQuery("b", "tag", (0,))]
    scores = np.array([[0.5, 0.5, 0.9, 0.7], [0, 0, 0, 0]])
    # 0 against 1: equal; 0 against 3: lost; 2 against both: won.
    assert trap_values(queries, scores)[0] == (0.5 + 0 + 1 + 1) / 4
    assert np.isnan(trap_values(queries, scores)[1])


@pytest.mark.parametrize(("relevant", "clips", "depth"), [(1, 5, 3), (2, 5, 3), (3, 6, 16), (4, 4, 2)])
def test_a_random_order_is_expected_to_score_what_all_orders_score_on_average(relevant, clips, depth):
    scores = []
    for order in itertools.permutations(range(clips)):
        ranks = sorted(order.index(item) for item in range(relevant))
        scores.append(
            sum((hit + 1) / (rank + 1) for hit, rank in enumerate(ranks) if rank < depth) / relevant
        )
    assert random_average_precision(relevant, clips, depth) == pytest.approx(np.mean(scores))
    with pytest.raises(ValueError, match="relevant=0"):
        random_average_precision(0, clips, depth)


def test_labels_give_the_kinds_that_classes_can_answer(table):
    labels = ["dog_bark", "rain", "sea waves"]
    clips = {clip: labels[place % 3] for place, clip in enumerate(dict.fromkeys(table["clip_id"]))}
    labelled = table.add_column("label", [clips[clip] for clip in table["clip_id"]])
    queries = label_queries(labelled, "label", per_kind=30)
    assert tuple(dict.fromkeys(query.kind for query in queries)) == LABEL_KINDS
    own = list(unique_clips(labelled)["label"])
    tags = [query for query in queries if query.kind == "tag"]
    assert [query.text for query in tags] == ["dog bark", "rain", "sea waves"]
    for query in queries:
        first = min(("dog_bark", "rain", "sea waves"), key=lambda label: _place(query.text, label))
        assert query.relevant == tuple(place for place, label in enumerate(own) if label == first), query.text
        if query.kind == "without":
            (other,) = {own[place] for place in query.traps}
            assert _place(query.text, first) < _place(query.text, other) < len(query.text)


def _place(text: str, label: str) -> int:
    place = text.find(label.replace("_", " "))
    return len(text) if place < 0 else place


def test_wrong_input_is_named(table):
    with pytest.raises(UserQueryError, match="no column 'class'"):
        label_queries(table, "class")
    with pytest.raises(UserQueryError, match="1 class"):
        label_queries(table, "split")
    with pytest.raises(UserQueryError, match="per_kind is 0"):
        scene_queries(table, per_kind=0)
    with pytest.raises(UserQueryError, match="no column 'scene'"):
        scene_queries(table.remove_columns("scene"))
    with pytest.raises(UserQueryError, match="no queries"):
        evaluate_user_queries(Oracle({}, 1), np.eye(1), [])


def test_the_command_reports_each_kind(tmp_path):
    for part in tiny_model_and_processor(tmp_path / "parts"):
        part.save_pretrained(tmp_path / "model")
    folder = write_captioned_folder(tmp_path / "sounds", {"test": 6})
    report = tmp_path / "report.json"
    arguments = ["evaluate", str(tmp_path / "model"), str(folder), "--user-queries", "--json", str(report)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "no column 'scene'" in refused.output
    done = CliRunner().invoke(app, [*arguments, "--relevance-column", "label", "--no-progress"])
    assert done.exit_code == 0, done.output
    assert all(f"\n{kind} " in done.output for kind in LABEL_KINDS)
    (part,) = json.loads(report.read_text())["wordings"].values()
    assert part["clips"] == 6 and set(part["kinds"]) == set(LABEL_KINDS)
    clash = CliRunner().invoke(app, [*arguments, "--index", "somewhere"])
    assert clash.exit_code == 2 and "--index: cannot be combined with --user-queries" in clash.output
