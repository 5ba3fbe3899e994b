"""WavCaps' files in the layouts that people have, packed in parts too, and what is wrong with them."""

import json
import shutil
import subprocess

import pytest
from miniature_sources import WAVCAPS_FILES, write_miniature_wavcaps, youtube_id

from auricle.data import DataError, load_wavcaps, source_of
from auricle.data.sources import is_wavcaps, list_wavcaps_clips, list_wavcaps_collections, unpack_archive


@pytest.fixture
def wavcaps(tmp_path):
    return write_miniature_wavcaps(tmp_path / "wavcaps")


def json_file(folder, collection="FreeSound"):
    return folder / "json_files" / collection / WAVCAPS_FILES[collection]


def test_all_collections_come_out_in_the_schema_with_their_ids(wavcaps):
    assert is_wavcaps(wavcaps) and source_of(wavcaps).name == "wavcaps"
    assert list_wavcaps_collections(wavcaps) == list(WAVCAPS_FILES)
    rows = load_wavcaps(wavcaps)[:]
    assert rows["row_id"] == [
        *("wavcaps/train/FreeSound/1000#0", "wavcaps/train/FreeSound/1001#0"),
        *("wavcaps/train/BBC_Sound_Effects/NHU00000000#0", "wavcaps/train/BBC_Sound_Effects/NHU00000001#0"),
        *("wavcaps/train/SoundBible/2000#0", "wavcaps/train/SoundBible/2001#0"),
        *(f"wavcaps/train/AudioSet_SL/Y{youtube_id(0)}#0", f"wavcaps/train/AudioSet_SL/Y{youtube_id(1)}#0"),
    ]
    assert rows["freesound_id"] == ["1000", "1001", None, None, None, None, None, None]
    assert rows["youtube_id"] == [None] * 6 + [youtube_id(0), youtube_id(1)]
    assert rows["audio"][7]["path"] == str(wavcaps / "AudioSet_SL" / f"Y{youtube_id(1)}.flac")
    assert rows["caption"][2] == "Sound 0 of BBC_Sound_Effects is heard."


@pytest.mark.parametrize(
    "layout",
    [
        {"audio_folder": "{}_flac"},
        {"audio_folder": "Zip_files/{}/mnt/scratch/waveforms/{}_flac"},
        {"json_folder": "json_files", "audio_folder": "audio/{}"},
        {"json_folder": "{}"},
    ],
)
def test_layouts_that_people_have(tmp_path, layout):
    assert len(load_wavcaps(write_miniature_wavcaps(tmp_path, **layout))) == 8


def test_a_choice_of_collections(wavcaps):
    assert len(load_wavcaps(wavcaps, collections=["SoundBible"])) == 2
    with pytest.raises(DataError, match="no collection 'Freesound'; the collections are"):
        load_wavcaps(wavcaps, collections=["Freesound"])
    json_file(wavcaps).unlink()
    assert len(load_wavcaps(wavcaps)) == 6
    with pytest.raises(DataError, match=r"fsd_final\.json of FreeSound not found; searched in"):
        load_wavcaps(wavcaps, collections=["FreeSound"])


def test_absent_and_additional_clips_are_told(wavcaps):
    (wavcaps / "FreeSound" / "1001.flac").rename(wavcaps / "FreeSound" / "77.flac")
    listing = list_wavcaps_clips(wavcaps)
    assert listing.missing == ["FreeSound/1001"]
    assert [path.name for path in listing.unlisted] == ["77.flac"]
    with pytest.raises(DataError, match="1 of 8 clips are not in .*'FreeSound/1001'"):
        load_wavcaps(wavcaps)
    assert len(load_wavcaps(wavcaps, missing="skip")) == 7


def change(path, edit):
    content = json.loads(path.read_text())
    content = edit(content) or content
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["data"][1].pop("id") and None, "entry 1: 'id' must be a string or a number"),
        (
            lambda content: content["data"][1].update(id="1000"),
            "entry 1: duplicate id '1000'; it is also in entry 0",
        ),
        (lambda content: content["data"][0].update(caption=" "), r"entry 0 \(id '1000'\): 'caption' is ' '"),
        (lambda content: {"data": {}}, "no list 'data' of clips found"),
    ],
)
def test_wrong_entries_are_named(wavcaps, edit, message):
    change(json_file(wavcaps), edit)
    with pytest.raises(DataError, match=message):
        load_wavcaps(wavcaps)


def test_unknown_fields_and_other_scripts_are_read(wavcaps):
    change(
        json_file(wavcaps), lambda content: content["data"][0].update(caption="犬が吠える", mood={"a": [1]})
    )
    assert load_wavcaps(wavcaps)["caption"][0] == "犬が吠える"


def test_text_that_is_no_json_is_refused(wavcaps):
    json_file(wavcaps).write_text('{"data": [')
    with pytest.raises(DataError, match=r"fsd_final\.json: not valid JSON"):
        load_wavcaps(wavcaps)
    with pytest.raises(DataError, match="WavCaps has no split 'test'"):
        load_wavcaps(wavcaps, split="test")


def pack(wavcaps, *options):
    """Packs FreeSound's clips as the publishers do, with folders of their own inside; removes the clips."""
    packed = wavcaps / "Zip_files" / "FreeSound"
    packed.mkdir(parents=True)
    inside = wavcaps / "mnt" / "FreeSound_flac"
    inside.parent.mkdir()
    (wavcaps / "FreeSound").rename(inside)
    (inside / "noise.bin").write_bytes(bytes(range(256)) * 800)
    command = ["zip", "-q", "-r", *options, str(packed / "FreeSound.zip"), "mnt"]
    subprocess.run(command, cwd=wavcaps, check=True)
    shutil.rmtree(wavcaps / "mnt")
    return packed


@pytest.mark.skipif(shutil.which("zip") is None, reason="packs with the zip program")
@pytest.mark.parametrize("options", [(), ("-s", "64k", "-0"), ("-s", "64k", "-0", "-fz")])
def test_archives_in_parts_are_unpacked(tmp_path, options):
    wavcaps = write_miniature_wavcaps(tmp_path / "w", {"FreeSound": 12})
    originals = {path.name: path.read_bytes() for path in (wavcaps / "FreeSound").iterdir()}
    packed = pack(wavcaps, *options)
    assert (len(list(packed.iterdir())) > 4) == bool(options)
    with pytest.raises(DataError, match=r"FreeSound is still packed in .*`auricle data unpack "):
        load_wavcaps(wavcaps)
    target = wavcaps / "FreeSound"
    assert unpack_archive(packed, target, progress=False) == (13, 0)
    assert {name: (target / name).read_bytes() for name in originals} == originals
    assert len(load_wavcaps(wavcaps)) == 12
    (target / "1003.flac").write_bytes(b"cut")
    (target / "1004.flac").unlink()
    assert unpack_archive(packed, target, progress=False) == (2, 11)
    assert (target / "1003.flac").read_bytes() == originals["1003.flac"]


@pytest.mark.skipif(shutil.which("zip") is None, reason="packs with the zip program")
def test_damaged_archives_are_explained(tmp_path):
    wavcaps = write_miniature_wavcaps(tmp_path / "w", {"FreeSound": 12})
    packed = pack(wavcaps, "-s", "64k", "-0")
    part = packed / "FreeSound.z02"
    content = part.read_bytes()
    part.write_bytes(content[:1000] + b"?" + content[1001:])
    with pytest.raises(DataError, match="wrong checksum|archive is corrupt"):
        unpack_archive(packed, tmp_path / "out", progress=False)
    assert not any(path.name.endswith(".partial") for path in (tmp_path / "out").iterdir())
    part.unlink()
    with pytest.raises(DataError, match=r"part FreeSound\.z02 of the archive is missing"):
        unpack_archive(packed, tmp_path / "out", progress=False)
    (packed / "FreeSound.zip").write_bytes(b"PK" * 50)
    part.write_bytes(content)
    with pytest.raises(DataError, match="not a zip archive"):
        unpack_archive(packed, tmp_path / "out", progress=False)
    with pytest.raises(DataError, match=r"found 0 files \*\.zip"):
        unpack_archive(tmp_path / "out", tmp_path / "other", progress=False)
