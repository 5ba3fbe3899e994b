"""Checking the audio of a table: bad clips are left out, counted and listed, and never stop the scan."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from auricle.data import CaptionedClip, DataError, build_table, check_audio

RATE = 16_000


def make_table(folder: Path, good: int, bad: tuple[str, ...] = ()) -> Dataset:
    """Clips of 0.5 s with two captions each; the bad ones come between the first two good ones."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 2).astype(np.float32)
    names = [f"good{number}.wav" for number in range(good)]
    for name in names:
        soundfile.write(folder / name, noise, RATE)
    makers = {
        "text.wav": lambda path: path.write_text("no sound"),
        "empty.wav": lambda path: path.touch(),
        "silent.wav": lambda path: soundfile.write(path, np.zeros(RATE), RATE),
        "nan.wav": lambda path: soundfile.write(path, np.full(RATE, np.nan), RATE, subtype="FLOAT"),
        "cut.wav": lambda path: path.write_bytes((folder / "good0.wav").read_bytes()[:900]),
        "missing.wav": lambda path: None,
    }
    for name in bad:
        makers[name](folder / name)
    order = [*names[:1], *bad, *names[1:]]
    clips = [CaptionedClip("s", "train", name, folder / name, ("one", "two")) for name in order]
    return build_table(row for clip in clips for row in clip.rows())


BAD = ("text.wav", "empty.wav", "silent.wav", "nan.wav", "cut.wav", "missing.wav")


def test_good_table_is_returned_as_it_is(tmp_path):
    table = make_table(tmp_path, 3)
    checked, report = check_audio(table, progress=False)
    assert checked is table
    assert (report.checked, report.bad) == (3, [])
    assert report.seconds == pytest.approx(1.5)


@pytest.mark.parametrize("num_workers", [0, 3])
def test_bad_clips_are_left_out_with_a_reason(tmp_path, caplog, num_workers):
    with caplog.at_level(logging.INFO):
        table = make_table(tmp_path, 2, BAD)
        checked, report = check_audio(table, max_bad_share=0.9, num_workers=num_workers, progress=False)
    assert checked["clip_id"][:] == ["s/train/good0.wav"] * 2 + ["s/train/good1.wav"] * 2
    assert [Path(path).name for path, _ in report.bad] == list(BAD)
    expected = ["not an audio file", "empty", "silent", "NaN", "truncated", "no such file"]
    for (path, reason), words in zip(report.bad, expected, strict=True):
        assert words in reason and path not in reason
    warnings = [record.getMessage() for record in caplog.records]
    assert [Path(path).name in line for line, (path, _) in zip(warnings, report.bad, strict=False)] == [
        True
    ] * 6
    assert warnings[6] == "8 clips checked, 6 skipped, 0.0 min of audio remain"
    assert warnings[7:] == report.counts and len(report.counts) == 6
    assert "1 file skipped: the file is empty: .wav (1)" in report.counts
    assert report.seconds == pytest.approx(1.0)


def test_clips_are_decoded_once(tmp_path, caplog):
    table = make_table(tmp_path, 1, ("text.wav",))
    with caplog.at_level(logging.WARNING):
        _, report = check_audio(table, max_bad_share=0.5, progress=False)
    assert len(table) == 4 and report.checked == 2
    assert sum("skipped " in record.getMessage() for record in caplog.records) == 1


def test_too_many_bad_clips_are_all_listed(tmp_path):
    table = make_table(tmp_path, 14, BAD)
    assert check_audio(table, max_bad_share=0.3, progress=False)[1].checked == 20
    with pytest.raises(DataError) as caught:
        check_audio(table, max_bad_share=0.29, progress=False)
    head, *lines = str(caught.value).splitlines()
    assert "6 of 20" in head and "0.29" in head
    assert [Path(line.strip().split(": ")[0]).name for line in lines] == list(BAD)


def test_nothing_good_is_an_error(tmp_path):
    table = make_table(tmp_path, 0, ("silent.wav", "missing.wav"))
    with pytest.raises(DataError, match="2 of 2"):
        check_audio(table, max_bad_share=1.0, progress=False)


def test_silence_may_be_allowed(tmp_path):
    table = make_table(tmp_path, 1, ("silent.wav",))
    checked, report = check_audio(table, allow_silent=True, progress=False)
    assert checked is table and report.seconds == pytest.approx(1.5)


def test_rate_to_resample_to_is_checked(tmp_path):
    table = make_table(tmp_path, 2)
    assert check_audio(table, sampling_rate=32_000, progress=False)[1].bad == []
    with pytest.raises(DataError, match="999 Hz"):
        check_audio(table, sampling_rate=999, progress=False)


def test_only_the_clips_part_is_judged(tmp_path):
    sound = np.zeros(RATE, np.float32)
    sound[: RATE // 2] = 0.1
    soundfile.write(tmp_path / "half.wav", sound, RATE)
    parts = [
        CaptionedClip(
            "s", "train", f"half-{offset}", tmp_path / "half.wav", ("x",), offset=offset, duration=0.5
        )
        for offset in (0.0, 0.5)
    ]
    checked, _ = check_audio(
        build_table(row for part in parts for row in part.rows()), max_bad_share=0.5, progress=False
    )
    assert checked["clip_id"][:] == ["s/train/half-0.0"]


def test_report_as_json(tmp_path):
    _, report = check_audio(make_table(tmp_path, 1, ("silent.wav",)), max_bad_share=0.5, progress=False)
    report.write_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "checked": 2,
        "clips": 2,
        "bad": [[str(tmp_path / "silent.wav"), "the sound is silent"]],
        "seconds": 0.5,
        "counts": ["1 file skipped: the sound is silent: .wav (1)"],
        "remarks": [],
    }


def test_remarks_on_good_clips_are_logged_counted_and_written(tmp_path, caplog):
    table = make_table(tmp_path, 2, ())
    path = table["audio"][0]["path"]
    mono, rate = soundfile.read(path, dtype="float32")
    soundfile.write(path, np.stack([mono, -mono], axis=1), rate, subtype="FLOAT")
    remark = "its channels cancel each other: their mean is more than 20 dB below the loudest"
    with caplog.at_level("WARNING"):
        kept, report = check_audio(table, progress=False)
    assert kept is table and report.remarks == [(path, remark)]
    assert f"note on {path}: {remark}" in caplog.messages
    report.write_json(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["remarks"] == [[path, remark]]
    assert written["counts"] == ["1 file read with a remark: its channels cancel each other: .wav (1)"]


@pytest.mark.parametrize(
    "options", [{"max_bad_share": 1.5}, {"max_bad_share": float("nan")}, {"num_workers": -1}]
)
def test_arguments_out_of_range(tmp_path, options):
    (name,) = options
    with pytest.raises(DataError, match=name):
        check_audio(make_table(tmp_path, 1), progress=False, **options)


def test_a_share_of_the_clips_is_drawn_by_the_seed_and_counted(tmp_path, caplog):
    table = make_table(tmp_path, 20, ("text.wav",))

    def check(**options):
        with caplog.at_level(logging.INFO):
            caplog.clear()
            checked, report = check_audio(table, max_bad_share=0.9, num_workers=2, progress=False, **options)
        return len(checked) < len(table), report, caplog.text

    found = [check(share=0.5, seed=seed) for seed in range(8)]
    assert {report.checked for _, report, _ in found} == {10} and {one.clips for _, one, _ in found} == {21}
    assert all("checked 10 of 21 clips, " in text for _, _, text in found)
    # Some draws meet the bad clip, others do not, and then it stays.
    assert {left_out for left_out, _, _ in found} == {True, False}
    assert all(left_out == bool(report.bad) for left_out, report, _ in found)
    assert [check(share=0.5, seed=seed)[0] for seed in range(8)] == [left_out for left_out, _, _ in found]
    assert check(share=1e-9)[1].checked == 1
    assert "21 clips checked" in check(share=1.0)[2]


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    with pytest.raises(DataError, match="share is .*, but must be above 0 and at most 1"):
        check_audio(make_table(tmp_path, 1), share=share, progress=False)
