"""What an index says of how it was made: older records are read and upgraded, newer ones named."""

import json

import pytest

from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_record import SETTINGS, VERSION, NewerIndexError, read_record, record_text


def record(**changes):
    return {
        "format": "auricle index",
        "version": VERSION,
        "model": "somewhere",
        "fingerprint": "f" * 64,
        "window_seconds": 10.0,
        "hop_seconds": 10,
        "exact_windows": 250_000,
        "width": 12,
        **changes,
    }


DEFAULTS = {
    "clip_vector": "windows",
    "precision": "float32",
    "revision": None,
    "window_seconds": None,
    "truncate_dim": None,
    "engine": "torch",
    "frames": None,
    "remote_code": False,
}


def as_bytes(**changes):
    return json.dumps(record(**changes)).encode()


def test_an_older_record_has_every_settings_default():
    old = read_record(as_bytes(version=2))
    assert old["version"] == 2
    assert old["settings"] == DEFAULTS
    assert set(old["settings"]) == set(SETTINGS)


def test_a_setting_keeps_its_value_and_what_is_not_named_is_kept_too():
    read = read_record(as_bytes(settings={"revision": "abc"}, trained_on=7))
    assert read["settings"] == {**DEFAULTS, "revision": "abc"} and read["trained_on"] == 7
    assert read_record(record_text(read)) == read


def test_a_setting_that_earlier_programs_do_not_know_is_written_where_it_says_something():
    read = read_record(as_bytes(settings={"truncate_dim": 8}))
    assert json.loads(record_text(read))["settings"] == {
        "clip_vector": "windows",
        "precision": "float32",
        "revision": None,
        "truncate_dim": 8,
    }
    assert read_record(record_text(read)) == read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"version": VERSION + 1},
            f"has version {VERSION + 1}, and this program reads versions up to {VERSION}",
        ),
        ({"settings": {"echoes": 1}}, "has the setting 'echoes', which this program does not know"),
    ],
)
def test_a_newer_index_is_named_as_such(made, changes, message):
    with pytest.raises(NewerIndexError, match=message):
        read_record(as_bytes(**changes))
    _, index = made
    path = index.directory / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SearchError, match=r"upgrade auricle\.$"):
        SoundIndex(index.directory)


@pytest.mark.parametrize(
    "changes",
    [{"settings": [1]}, {"settings": {"precision": 1}}, {"width": "12"}, {"version": "3"}, {"version": 1}],
)
def test_a_damaged_record_is_refused(changes):
    with pytest.raises(ValueError, match="is damaged|another format or version") as told:
        read_record(as_bytes(**changes))
    assert not isinstance(told.value, NewerIndexError)


def test_an_update_upgrades_the_record_and_asking_does_not(made):
    sounds, index = made
    path = index.directory / "index.json"
    old = {name: value for name, value in json.loads(path.read_text()).items() if name != "settings"}
    path.write_text(json.dumps(old | {"version": 2}))
    before = path.read_bytes()
    older = SoundIndex(index.directory)
    expected = index.search("a dog")
    assert older.search("a dog") == expected and path.read_bytes() == before
    report = older.update([sounds], progress=False)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 6)
    assert json.loads(path.read_text())["version"] == VERSION
    assert SoundIndex(index.directory).search("a dog") == expected
