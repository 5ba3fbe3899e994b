"""Generated recordings: events where their times say, lengths as CASTELLA's, no clip in two parts."""

import json

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from auricle.data.moments.events import draw_duration, event_sound, place_events, without_silent_ends
from auricle.data.moments.generated_recordings import (
    GeneratedMomentsError,
    MomentSettings,
    make_moment_recordings,
    split_clips,
)
from auricle.evaluation.moments.moment_queries import read_moment_queries

RATE = 8_000


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four labels of four tones each, with half a second of silence at both ends."""
    folder, rows = tmp_path_factory.mktemp("clips"), []
    for number, label in enumerate(("low", "middle", "high", "highest")):
        for take in range(4):
            time = np.arange(2 * RATE) / RATE
            tone = 0.5 * np.sin(2 * np.pi * (300 * 2**number) * time)
            samples = np.concatenate([np.zeros(RATE // 2), tone, np.zeros(RATE // 2)])
            path = folder / f"{label}_{take}.wav"
            soundfile.write(path, samples, RATE)
            rows.append({"audio": {"path": str(path)}, "label": label, "caption": f"a {label} tone"})
    return Dataset.from_list(rows)


def test_durations_are_castellas():
    generator = np.random.default_rng(0)
    drawn = np.array([draw_duration(generator) for _ in range(20_000)])
    assert drawn.min() >= 1 and drawn.max() <= 30
    assert 3.9 < np.median(drawn) < 4.4
    assert 0.56 < (drawn <= 5).mean() < 0.64


def test_silent_ends_go_and_pauses_stay():
    tone = np.sin(np.arange(RATE) / 3)
    samples = np.concatenate([np.zeros(RATE), tone, np.zeros(RATE // 2), tone, 0.001 * tone])
    assert abs(len(without_silent_ends(samples, RATE)) - 2.5 * RATE) <= 0.02 * RATE
    assert len(without_silent_ends(np.zeros(RATE), RATE)) == 0


@pytest.mark.parametrize("seconds", [0.4, 1.0, 7.77])
def test_an_event_has_its_length_and_no_hole(seconds):
    clip = np.sin(np.arange(RATE) / 3).astype(np.float32)
    sound = event_sound(clip, RATE, seconds, np.random.default_rng(0))
    assert len(sound) == round(seconds * RATE)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1)
    inner = sound[RATE // 50 : -(RATE // 50)]
    levels = np.sqrt((inner[: len(inner) // 80 * 80].reshape(-1, 80) ** 2).mean(axis=1))
    assert levels.min() > 0.3


def test_events_keep_their_distance_or_do_not_fit():
    generator = np.random.default_rng(0)
    for _ in range(200):
        starts = place_events([3.0, 5.0, 2.0], 20.0, gap=1.0, generator=generator)
        assert (
            starts[0] >= 0 and starts[1] >= starts[0] + 4 and starts[2] >= starts[1] + 6 and starts[2] <= 18
        )
    assert place_events([10.0, 12.0], 22.5, gap=1.0, generator=generator) is None


def test_the_sound_lies_where_the_times_say(table, tmp_path):
    settings = MomentSettings(recordings=6, sampling_rate=RATE, seconds=(30.0, 60.0), snr_db=(20.0, 25.0))
    path = make_moment_recordings(table, tmp_path / "out", settings)
    read = read_moment_queries(path)
    assert read.remarks == () and len({query.vid for query in read.queries}) == 6
    frequencies = {"a low tone": 300, "a middle tone": 600, "a high tone": 1200, "a highest tone": 2400}
    checked = 0
    for query in read.queries:
        samples, rate = soundfile.read(tmp_path / "out/audio" / f"{query.vid}.flac")
        assert rate == RATE and len(samples) / rate == pytest.approx(query.duration, abs=1e-3)
        time = np.arange(RATE // 5) / RATE
        wave = np.exp(-2j * np.pi * frequencies[query.query] * time)
        blocks = len(samples) // len(time)
        energy = np.abs(samples[: blocks * len(time)].reshape(blocks, -1) @ wave)
        times = np.arange(blocks) * 0.2
        inside = np.zeros(blocks, dtype=bool)
        near = np.zeros(blocks, dtype=bool)
        for start, end in query.moments:
            inside |= (times >= start + 0.05) & (times + 0.2 <= end - 0.05)
            near |= (times + 0.2 > start - 0.05) & (times < end + 0.05)
        assert energy[inside].min() > 2 * energy[~near].max()
        checked += len(query.moments)
    assert checked > 20


def test_the_seed_decides_and_each_recording_stands_alone(table, tmp_path):
    def made(name, **changes):
        settings = MomentSettings(
            **{"recordings": 3, "sampling_rate": RATE, "seconds": (30.0, 40.0), **changes}
        )
        path = make_moment_recordings(table, tmp_path / name, settings)
        files = {file.name: file.read_bytes() for file in sorted((tmp_path / name / "audio").iterdir())}
        return path.read_text(), files

    first, again, fewer = made("a"), made("b"), made("c", recordings=2)
    assert first == again
    assert first[0].startswith(fewer[0]) and fewer[1].items() <= first[1].items()
    assert made("d", seed=1)[0] != first[0]


def test_two_parts_share_no_clip(table, tmp_path):
    training, validation = split_clips(table, 0.25)
    names = [{row["audio"]["path"] for row in part} for part in (training, validation)]
    assert len(names[0]) == 12 and len(names[1]) == 4 and not names[0] & names[1]
    assert set(validation["label"]) == set(table["label"])
    settings = MomentSettings(recordings=2, sampling_rate=RATE, seconds=(30.0, 31.0))
    path = make_moment_recordings(validation, tmp_path, settings)
    sources = {name for line in path.read_text().splitlines() for name in json.loads(line)["sources"]}
    assert sources <= {name.rpartition("/")[2] for name in names[1]}


def test_bad_settings_and_clips_are_named(table, tmp_path):
    for change, message in (
        ({"recordings": 0}, "recordings=0"),
        ({"seconds": (50.0, 40.0)}, "seconds=50..40"),
        ({"events": (0, 2)}, "events=0..2"),
        ({"sampling_rate": 100}, "sampling_rate=100"),
    ):
        with pytest.raises(GeneratedMomentsError, match=message):
            MomentSettings(**change)
    with pytest.raises(GeneratedMomentsError, match="no column 'label'"):
        make_moment_recordings(table.remove_columns("label"), tmp_path, MomentSettings())
    with pytest.raises(GeneratedMomentsError, match="queries=9 need as many labels"):
        make_moment_recordings(table, tmp_path, MomentSettings(queries=(1, 9)))
    with pytest.raises(GeneratedMomentsError, match="label 'low' has 1 clip"):
        split_clips(table.select([0]), 0.5)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    silent = Dataset.from_list(
        [{"audio": {"path": str(tmp_path / "silent.wav")}, "label": "x", "caption": "x"}]
    )
    with pytest.raises(GeneratedMomentsError, match=r"silent\.wav: contains no audio"):
        make_moment_recordings(silent, tmp_path, MomentSettings(recordings=1, queries=(1, 1)))
