"""Copies as one answer: by content, by a cosine, and in the command's output."""

import json
import shutil

import numpy as np
import pytest
from sound_libraries import library
from tiny_models import write_sound
from typer.testing import CliRunner

pytest.importorskip("lancedb")

from auricle.cli.main import app
from auricle.search.errors import SearchError
from auricle.search.query.copies import CopyGroup, find_groups, group_copies
from auricle.search.query.hits import Hit
from auricle.search.sound_index import SoundIndex


def hit(path: str, digest: str | None) -> Hit:
    return Hit(path, 0.0, 1.0, 0.5, 0.5, None, 1.0, (), digest=digest)


def test_identical_content_is_one_answer_at_its_best_place():
    hits = [hit("a", "1"), hit("b", "2"), hit("c", "1"), hit("d", None), hit("e", None), hit("f", "1")]
    groups = group_copies(hits)
    assert [(group.hit.path, [one.path for one in group.copies]) for group in groups] == [
        ("a", ["c", "f"]),
        ("b", []),
        ("d", []),
        ("e", []),
    ]
    assert groups[0].told() == "and 2 identical copies" and groups[1].told() == ""
    assert CopyGroup(hits[0], (hits[2],), (hits[1],)).told() == "and 1 identical copy, 1 near copy"


def test_near_copies_are_by_the_cosine_with_the_best_one():
    angles = {"a": 0.0, "b": 10.0, "c": 18.0, "d": 90.0}
    vectors = {name: np.array([np.cos(np.radians(a)), np.sin(np.radians(a))]) for name, a in angles.items()}
    hits = [hit(name, name) for name in angles]
    groups = group_copies(hits, vectors, float(np.cos(np.radians(12))))
    # c is near b, which stands behind a: only the distance to a counts.
    assert [(group.hit.path, [one.path for one in group.near]) for group in groups] == [
        ("a", ["b"]),
        ("c", []),
        ("d", []),
    ]


def test_as_many_different_answers_as_were_asked_for_with_all_their_copies():
    hits = [hit(f"{number:03}", str(number // 40)) for number in range(200)]
    asked = []

    def ask(count: int) -> list[Hit]:
        asked.append(count)
        return hits[:count]

    groups = find_groups(ask, 3)
    assert [len(group.copies) for group in groups] == [39, 39, 39] and asked == [13, 26, 52, 104, 208]
    assert len(find_groups(ask, 100)) == 5
    with pytest.raises(SearchError, match="top=0"):
        find_groups(ask, 0)
    with pytest.raises(SearchError, match="from a cosine of 2 on"):
        find_groups(ask, 1, near_cosine=2)


@pytest.fixture(scope="module")
def copied(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("copied")
    sounds = library(root / "sounds", 5)
    first = next(iter(sorted(sounds.rglob("*.wav"))))
    for number in range(2):
        (root / "sounds" / "again").mkdir(exist_ok=True)
        shutil.copy(first, root / "sounds" / "again" / f"{number}.wav")
    write_sound(root / "sounds" / "flac.flac", 1.0, seed=3)
    indexes = []
    for name, windows in (("exact", 250_000), ("approximate", 0)):
        index = SoundIndex.create(root / name, model, exact_windows=windows)
        index.update([sounds], progress=False)
        indexes.append(index)
    return first, *indexes


@pytest.mark.parametrize("which", [1, 2])
def test_an_index_groups_its_copies(copied, which):
    first, index = copied[0], copied[which]
    hits = index.search("a dog barks", top=100)
    groups = find_groups(lambda count: index.search("a dog barks", top=count), 100)
    assert len(hits) == len(groups) + 2 and all(len(one.digest) == 64 for one in hits)
    (group,) = (group for group in groups if group.copies)
    assert str(first) in {group.hit.path, *(one.path for one in group.copies)}
    everything = find_groups(
        lambda count: index.search("a dog barks", top=count), 100, store=index.store, near_cosine=-1.0
    )
    assert len(everything) == 1 and len(everything[0].copies) + len(everything[0].near) == len(hits) - 1


def test_the_command_prints_copies_as_one_and_json_keeps_every_file(copied):
    index = str(copied[1].directory)

    def run(*options: str):
        return CliRunner().invoke(
            app, ["search", "a dog barks", "--index", index, "-k", "50", "--no-server", *options]
        )

    printed = run().stdout
    assert printed.count("and 2 identical copies: ") == 1
    assert "identical" not in run("--no-group-copies").stdout
    files = json.loads(run("--json").stdout)
    assert len(files) == len(copied[1]) and len({row["digest"] for row in files}) == len(files) - 2
    grouped = json.loads(run("--json", "--group-copies").stdout)
    assert len(grouped) == len(files) - 2
    assert sorted(len(row["copies"]) for row in grouped)[-1] == 2
    assert {row["path"] for row in files} == {
        one["path"] for row in grouped for one in (row, *row["copies"], *row["near_copies"])
    }
    near = json.loads(run("--json", "--near-copies", "-1").stdout)
    assert len(near) == 1 and len(near[0]["copies"]) + len(near[0]["near_copies"]) == len(files) - 1
    refused = run("--near-copies", "0.9", "--no-group-copies")
    assert refused.exit_code == 2 and "cannot be combined" in refused.output
    typed = json.loads(run("--json", "--type", "FLAC").stdout)
    assert [row["path"].endswith("flac.flac") for row in typed] == [True]
