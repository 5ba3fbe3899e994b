"""Test clips that training has seen, by id, file and content; one name in two splits is no leak."""

import shutil

from miniature_clotho import write_miniature_clotho
from tiny_models import write_sound

from auricle.data import CaptionedClip, build_table, load_clotho
from auricle.evaluation.leakage import find_leaks


def table(split, *clips):
    """Rows of (name, path, Freesound id)."""
    captioned = [
        CaptionedClip("set", split, name, path, ["a sound"], extra={"freesound_id": number})
        for name, path, number in clips
    ]
    return build_table(row for clip in captioned for row in clip.rows())


def test_each_kind_of_leak_is_named(tmp_path):
    paths = [write_sound(tmp_path / f"{n}.wav", 0.2, seed=n) for n in range(6)]
    copy = tmp_path / "copy.wav"
    shutil.copy(paths[2], copy)
    train = table("train", ("a", paths[0], "17"), ("b", paths[1], None), ("c", paths[2], None))
    test = table(
        "test",
        ("same id", paths[3], "17"),
        ("same file", paths[1], "18"),
        ("same content", copy, None),
        ("a", paths[4], "19"),
        ("no id", paths[5], None),
    )
    assert [(leak.test_clip, leak.training_clip, leak.shared) for leak in find_leaks(train, test)] == [
        ("set/test/same id", "set/train/a", "Freesound id 17"),
        ("set/test/same file", "set/train/b", "file"),
        ("set/test/same content", "set/train/c", "content"),
    ]


def test_clothos_splits_share_names_but_no_recording(tmp_path):
    folder = write_miniature_clotho(tmp_path, seconds=0.1)
    train, test = load_clotho(folder, split="train"), load_clotho(folder, split="test")
    assert {path["path"].rsplit("/", 1)[1] for path in train["audio"]} == {
        path["path"].rsplit("/", 1)[1] for path in test["audio"]
    }
    assert find_leaks(train, test) == []
    assert len(find_leaks(train, train)) == 2
