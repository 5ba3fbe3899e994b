"""Data sets in the Hub's formats: sound inside Parquet files or beside them, sentences or lists of them."""

import io
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import soundfile
from tiny_models import sound, write_sound

from auricle.data import DataError
from auricle.data.sources import load_hub_dataset
from auricle.processing import load_waveform


def encoded(seed: int, kind: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound(0.3, 16_000, seed=seed), 16_000, format=kind)
    return file.getvalue()


def write_parquet(folder, rows, split="train", audio_type=True):
    """A data set directory as `push_to_hub` writes it: the features stand in the file's metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if audio_type:
        kinds = {
            "audio": '{"_type": "Audio"}',
            "caption": '{"dtype": "string", "_type": "Value"}',
            "captions": '{"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}',
        }
        features = ", ".join(f'"{name}": {kinds.get(name, kinds["caption"])}' for name in table.column_names)
        table = table.replace_schema_metadata({"huggingface": f'{{"info": {{"features": {{{features}}}}}}}'})
    parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def folder(tmp_path):
    rows = [
        {
            "audio": {"bytes": encoded(n), "path": f"{n}.flac"},
            "caption": f"sound {n}",
            "freesound_id": str(70 + n),
        }
        for n in range(4)
    ]
    return write_parquet(tmp_path / "set", rows)


def load(folder, tmp_path, **options):
    return load_hub_dataset(str(folder), cache_dir=tmp_path / "cache", progress=False, **options)


@pytest.mark.parametrize("streaming", [False, True])
def test_sound_within_parquet_files_is_written_once_and_read_as_it_was(folder, tmp_path, streaming):
    table = load(folder, tmp_path, streaming=streaming)
    assert table["row_id"][1] == "set/train/00000001#0" and table["source"] == ["set"] * 4
    assert table["caption"] == [f"sound {n}" for n in range(4)]
    assert table["freesound_id"] == ["70", "71", "72", "73"] and table["youtube_id"] == [None] * 4
    paths = [audio["path"] for audio in table["audio"]]
    for number, path in enumerate(paths):
        waveform = load_waveform(path, sampling_rate=16_000)
        np.testing.assert_allclose(waveform, sound(0.3, 16_000, seed=number), atol=1e-4)
    times = [os.stat(path).st_mtime_ns for path in paths]
    again = load(folder, tmp_path, streaming=streaming)
    assert again[:] == table[:]
    assert [os.stat(path).st_mtime_ns for path in paths] == times


def test_part_of_a_data_set_and_names_of_its_own(folder, tmp_path):
    assert len(load(folder, tmp_path, max_clips=2, streaming=True)) == 2
    table = load(folder, tmp_path, max_clips=3, id_column="freesound_id", as_split="test", license="CC0-1.0")
    assert table["clip_id"] == ["set/test/70", "set/test/71", "set/test/72"]
    assert table["license"] == ["CC0-1.0"] * 3


def test_lists_of_captions_and_files_beside_the_data(tmp_path):
    paths = [str(write_sound(tmp_path / f"{n}.wav", 0.2, seed=n)) for n in range(2)]
    rows = [{"audio": path, "captions": [f"sound {n}", " ", "a sound"]} for n, path in enumerate(paths)]
    folder = write_parquet(tmp_path / "set", rows, audio_type=False)
    table = load(folder, tmp_path, caption_column="captions")
    assert table["caption"] == ["sound 0", "a sound", "sound 1", "a sound"]
    assert [audio["path"] for audio in table["audio"]][::2] == paths


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"split": "test"}, "split 'test': cannot load the dataset"),
        ({}, {"audio_column": "sound"}, r"no column 'sound'; the columns are \['audio', 'caption'"),
        ({"caption": " "}, {}, r"set, split 'train', row 1: 'caption' has no sentence"),
        ({"audio": {"bytes": None, "path": None}}, {}, "row 1: no audio"),
        (
            {"audio": {"bytes": None, "path": "gone.wav"}},
            {},
            r"row 1: audio file 'gone\.wav' not found",
        ),
        ({"name": ""}, {"id_column": "name"}, "row 1: 'name' is '', but must identify the clip"),
        ({"name": "0"}, {"id_column": "name"}, "row_id 'set/train/0#0', but row_id must be unique"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, options, message):
    rows = [
        {"audio": {"bytes": encoded(n), "path": None}, "caption": "a sound", "name": str(n)} for n in range(2)
    ]
    rows[1] |= change
    folder = write_parquet(tmp_path / "set", rows)
    with pytest.raises(DataError, match=message):
        load(folder, tmp_path, **options)


def test_a_data_set_that_is_nowhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="nobody/nothing, split 'train': cannot load the dataset"):
        load("nobody/nothing", tmp_path)
