"""Training rows: their randomness is a function of seed, epoch and row alone."""

import pickle

import numpy as np
import pytest
import torch
from tiny_models import SAMPLING_RATE, sound, tiny_front_end, tiny_model_and_processor, write_sound
from torch.utils.data import DataLoader

from auricle.data import CaptionedClip, DataError, build_table
from auricle.data.mixing import join_tables, weighted
from auricle.data.waveform_cache import WaveformCache
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.processing import AuricleFeatureExtractor
from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import DataSection
from auricle.training.rows.caption_edits import CaptionEditor
from auricle.training.rows.caption_variants import CaptionVariants
from auricle.training.rows.training_clips import TrainingClips, random_crop, read_unreadable_log
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import write_teacher_bank

SECONDS = (0.5, 1.5, 2.5, 4.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four clips of different lengths with two captions each; clips 0 and 2 are of one class."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for index, seconds in enumerate(SECONDS):
        path = write_sound(folder / f"{index}.wav", seconds, seed=index)
        captions = [f"caption {index}", "shared" if index < 2 else f"other {index}"]
        clip = CaptionedClip("s", "train", path.stem, path, captions, extra={"kind": str(index % 2)})
        rows += clip.rows()
    return build_table(rows)


@pytest.fixture(scope="module")
def extractor():
    return AuricleFeatureExtractor(**tiny_front_end())


@pytest.fixture
def make(table, extractor):
    own = ("waveforms", "pooled_text", "teachers", "cluster_of_row", "caption_variants")

    def build(seed=0, **settings) -> TrainingClips:
        given = {name: settings.pop(name) for name in own if name in settings}
        return TrainingClips(table, extractor, DataSection(**settings), seed=seed, **given)

    return build


VARIED = {
    "crop_seconds": 0.4,
    "gain_db": 6.0,
    "time_roll": True,
    "mel_fmin_jitter": 10,
    "mel_fmax_jitter": 1000,
}


def as_bytes(row: dict) -> tuple:
    return row["waveform"].tobytes(), row["mel_range"], row["caption"], row["group"]


def test_the_order_of_asking_changes_nothing(make):
    forwards, backwards = make(**VARIED), make(**VARIED)
    first = {row: as_bytes(forwards[row]) for row in range(8)}
    second = {row: as_bytes(backwards[row]) for row in reversed(range(8))}
    assert first == second
    assert as_bytes(forwards[5]) == first[5]


def test_other_randomness_in_the_process_changes_nothing(make):
    clips = make(**VARIED)
    before = as_bytes(clips[3])
    np.random.seed(1)
    torch.manual_seed(1)
    assert as_bytes(clips[3]) == before


@pytest.mark.parametrize("settings", [{"crop_seconds": 0.4}, {"time_roll": True}, {"gain_db": 6.0}])
def test_epoch_row_and_seed_each_change_the_draw(make, settings):
    clips = make(**settings)
    before = clips[6]["waveform"].copy()
    # Row 7 is another caption of the same clip.
    assert not np.array_equal(clips[7]["waveform"], before)
    clips.set_epoch(1)
    assert not np.array_equal(clips[6]["waveform"], before)
    clips.set_epoch(0)
    assert np.array_equal(clips[6]["waveform"], before)
    assert not np.array_equal(make(seed=1, **settings)[6]["waveform"], before)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_change_nothing_and_hear_of_the_epoch(make, context, table, tmp_path):
    if context == "spawn":
        # The whole table travels to such a worker: once is enough.
        clips = make(**VARIED, waveforms=cache_of(table, tmp_path))
        clips.set_epoch(3)
        assert [as_bytes(pickle.loads(pickle.dumps(clips))[row]) for row in range(8)] == [
            as_bytes(clips[row]) for row in range(8)
        ]
        return
    clips = make(**VARIED)

    def epoch(workers: int, number: int) -> list:
        clips.set_epoch(number)
        options = {"multiprocessing_context": context} if workers else {}
        loader = DataLoader(clips, batch_size=2, num_workers=workers, collate_fn=list, **options)
        return [as_bytes(row) for batch in loader for row in batch]

    alone = epoch(0, 3)
    assert epoch(2, 3) == alone
    assert epoch(2, 4) != alone


def cache_of(table, folder) -> WaveformCache:
    audio = list(table["audio"])[::2]
    return WaveformCache.build(audio, sampling_rate=SAMPLING_RATE, cache_dir=folder, progress=False)


def test_without_any_variation_a_short_clip_is_the_file(make):
    row = make()[1]
    assert np.array_equal(row["waveform"], sound(SECONDS[0], seed=0))
    assert row["mel_range"] is None and row["pooled_text"] is None


def test_a_clip_from_the_cache_is_the_file_to_16_bits(make, table, tmp_path):
    cached = make(waveforms=cache_of(table, tmp_path))
    assert np.abs(cached[4]["waveform"] - make()[4]["waveform"]).max() <= 0.5 / 32768 + 1e-7


def test_a_cache_of_other_clips_is_refused(make, table, tmp_path):
    half = WaveformCache.build(
        list(table["audio"])[:2], sampling_rate=SAMPLING_RATE, cache_dir=tmp_path, progress=False
    )
    with pytest.raises(ValueError, match="2 clips, the table has 4"):
        make(waveforms=half)


def test_crops_stay_within_the_clip_and_reach_both_ends():
    waveform = np.arange(10, dtype=np.float32)
    starts = set()
    for seed in range(200):
        crop = random_crop(waveform, 7, np.random.default_rng(seed))
        assert np.array_equal(crop, np.arange(crop[0], crop[0] + 7))
        starts.add(int(crop[0]))
    assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize("length", [10, 12])
def test_a_clip_that_is_not_longer_is_left_whole(length):
    waveform = np.arange(10, dtype=np.float32)
    assert np.array_equal(random_crop(waveform, length, np.random.default_rng(0)), waveform)


def test_the_longest_clip_is_bounded_and_the_shorter_bound_wins(make):
    lengths = [len(make(max_clip_seconds=2.0)[row]["waveform"]) for row in (0, 2, 4, 6)]
    assert lengths == [8000, 24000, 32000, 32000]
    lengths = [len(make(max_clip_seconds=2.0, crop_seconds=0.6)[row]["waveform"]) for row in (0, 2, 4, 6)]
    assert lengths == [8000, 9600, 9600, 9600]


def test_a_roll_keeps_every_sample(make):
    whole, rolled = sound(SECONDS[1], seed=1), make(time_roll=True)[2]["waveform"]
    assert not np.array_equal(whole, rolled)
    shift = next(n for n in range(len(whole)) if np.array_equal(np.roll(whole, n)[:50], rolled[:50]))
    assert np.array_equal(np.roll(whole, shift), rolled)


def test_the_gain_is_one_factor_within_its_bounds(make):
    whole = sound(SECONDS[1], seed=1)
    clips, factors = make(gain_db=6.0), []
    for epoch in range(60):
        clips.set_epoch(epoch)
        ratio = clips[2]["waveform"] / whole
        assert np.allclose(ratio, np.median(ratio), rtol=1e-5)
        factors.append(20 * np.log10(np.median(ratio)))
    assert -6 <= min(factors) < -4 and 4 < max(factors) <= 6
    assert clips[2]["waveform"].dtype == np.float32


def test_the_mel_range_varies_as_in_passt(make, extractor):
    clips = make(mel_fmin_jitter=10, mel_fmax_jitter=1000)
    drawn = []
    for epoch in range(300):
        clips.set_epoch(epoch)
        drawn.append(clips[0]["mel_range"])
    lows, highs = np.array(drawn).T
    assert lows.min() == extractor.fmin and lows.max() == extractor.fmin + 9
    assert extractor.fmax - 499 <= highs.min() < extractor.fmax - 450
    assert extractor.fmax + 450 < highs.max() <= min(extractor.fmax + 500, SAMPLING_RATE / 2)


def test_only_one_end_of_the_mel_range_may_vary(make, extractor):
    assert {make(mel_fmin_jitter=5, seed=n)[0]["mel_range"][1] for n in range(9)} == {extractor.fmax}
    assert {make(mel_fmax_jitter=50, seed=n)[0]["mel_range"][0] for n in range(9)} == {extractor.fmin}


def test_rows_of_one_clip_are_positives_unless_another_column_says_more(make):
    assert [make()[row]["group"] for row in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    by_kind = make(positive_column="kind")
    assert [by_kind[row]["group"] for row in range(8)] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_an_unknown_positive_column_lists_the_columns(make):
    with pytest.raises(RecipeError, match="positive_column='klass' is not a column.*'kind'"):
        make(positive_column="klass")


def test_pooled_text_goes_with_its_caption(make):
    # Distinct captions in order: caption 0, shared, caption 1, caption 2, other 2, ...
    pooled = np.arange(7, dtype=np.float32)[:, None].repeat(3, axis=1)
    clips = make(pooled_text=pooled)
    assert [clips[row]["pooled_text"][0] for row in range(8)] == [0, 1, 2, 1, 3, 4, 5, 6]
    assert [clips[row]["caption"] for row in (1, 3)] == ["shared", "shared"]


@pytest.fixture(scope="module")
def teachers(table, tmp_path_factory):
    """Two random teachers of unequal weight, aligned with the rows of the table."""
    banks = []
    for seed in range(2):
        folder = tmp_path_factory.mktemp(f"teacher{seed}")
        model, processor = tiny_model_and_processor(folder, seed=seed)
        banks.append(
            write_teacher_bank(
                folder / "bank", AuricleEncoder(model, processor), {"train": table}, model_name=f"{seed}"
            )
        )
    return AlignedTeachers.align(banks, [1, 3], table)


def test_teachers_vectors_and_clusters_go_with_their_rows(make, teachers):
    clusters = np.array([3, 0, 1, 1, 2, 0, 3, 2])
    clips = make(teachers=teachers, cluster_of_row=clusters)
    rows = [clips[row] for row in range(8)]
    assert [row["cluster"] for row in rows] == clusters.tolist()
    for number, row in enumerate(rows):
        assert row["teacher_audio"].dtype == row["teacher_text"].dtype == np.float32
        assert np.array_equal(row["teacher_audio"], teachers.audio_vectors(number))
        assert np.array_equal(row["teacher_text"], teachers.caption_vectors(number))
    assert np.array_equal(rows[4]["teacher_audio"], rows[5]["teacher_audio"])
    assert not np.allclose(rows[4]["teacher_text"], rows[5]["teacher_text"], atol=1e-3)
    plain = make()[0]
    assert plain["teacher_audio"] is plain["teacher_text"] is plain["cluster"] is None


def test_teachers_or_clusters_of_other_rows_are_refused(make, teachers, table):
    few = AlignedTeachers.align(teachers.banks, None, table.select(range(5)))
    with pytest.raises(ValueError, match="aligned with 5 rows, the table has 8"):
        make(teachers=few)
    with pytest.raises(
        ValueError, match=r"int64 of shape \(5,\), but must contain .* each of the table's 8 rows"
    ):
        make(cluster_of_row=np.zeros(5, dtype=np.int64))
    with pytest.raises(ValueError, match="cluster_of_row is float64"):
        make(cluster_of_row=np.zeros(8))
    with pytest.raises(ValueError, match=r"cluster_of_row\[2\] is -1; clusters are numbered from 0"):
        make(cluster_of_row=np.array([0, 1, -1, 0, 0, 0, 0, 0]))


def captions_of(clips, epoch) -> list[str]:
    clips.set_epoch(epoch)
    return [clips[row]["caption"] for row in range(8)]


def test_captions_are_edited_anew_each_epoch_and_again_after_a_resume(make):
    clips = make(caption_variants=CaptionVariants(editor=CaptionEditor(0.8)))
    epochs = [captions_of(clips, epoch) for epoch in range(12)]
    assert len({tuple(captions) for captions in epochs}) == 12
    resumed = make(caption_variants=CaptionVariants(editor=CaptionEditor(0.8)))
    assert captions_of(resumed, 7) == epochs[7]
    resumed.set_epoch(5)
    assert [resumed[row]["caption"] for row in reversed(range(8))] == epochs[5][::-1]
    assert (
        captions_of(make(seed=1, caption_variants=CaptionVariants(editor=CaptionEditor(0.8))), 7) != epochs[7]
    )
    # Rows are edited apart from one another; a caption of one word stays.
    assert {captions[4] for captions in epochs} == {"caption 2", "caption", "2"}
    assert [captions[6] for captions in epochs] != [captions[4].replace("2", "3") for captions in epochs]
    assert {captions[1] for captions in epochs} == {captions[3] for captions in epochs} == {"shared"}


def test_an_edit_changes_the_caption_alone(make, teachers):
    options = {"teachers": teachers, "cluster_of_row": np.arange(8), **VARIED}
    plain, edited = (
        make(**options),
        make(caption_variants=CaptionVariants(editor=CaptionEditor(1.0)), **options),
    )
    for row in (0, 5, 6):
        ours, theirs = edited[row], plain[row]
        assert ours.pop("caption") != theirs.pop("caption")
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], value) for name, value in theirs.items())


def test_captions_whose_vectors_are_kept_cannot_be_edited(make):
    with pytest.raises(RecipeError, match="cache_frozen_text to false, or switch augmentation off"):
        make(
            pooled_text=np.zeros((7, 3), dtype=np.float32),
            caption_variants=CaptionVariants(editor=CaptionEditor(0.8)),
        )


@pytest.fixture
def table_of_files(tmp_path):
    """Six clips of one caption each, in files that a test may break."""
    rows = []
    for index in range(6):
        path = write_sound(tmp_path / f"{index}.wav", 1.0, seed=index)
        rows += CaptionedClip("files", "train", path.name, path, [f"clip {index}"]).rows()
    return build_table(rows)


def read_files(table, extractor, folder, share=0.5, **more) -> TrainingClips:
    section = DataSection(max_bad_share=share)
    log = folder / "log" / "bad.jsonl"
    return TrainingClips(table, extractor, section, seed=0, unreadable_log=log, **more)


def test_a_file_that_vanishes_is_replaced_by_the_next_row_and_noted_once(table_of_files, extractor, tmp_path):
    clips = read_files(table_of_files, extractor, tmp_path)
    (tmp_path / "2.wav").unlink()
    (tmp_path / "5.wav").write_bytes(b"")
    captions = [clips[row]["caption"] for _ in range(2) for row in range(6)]
    assert captions == ["clip 0", "clip 1", "clip 3", "clip 3", "clip 4", "clip 0"] * 2
    noted = read_unreadable_log(tmp_path / "log" / "bad.jsonl")
    assert [path for path, _ in noted] == [str(tmp_path / "2.wav"), str(tmp_path / "5.wav")]
    assert "no such file" in noted[0][1] and "empty" in noted[1][1]
    assert np.array_equal(clips[2]["waveform"], clips[3]["waveform"])


def test_a_row_in_anothers_place_brings_its_own_cluster_and_teachers(table_of_files, extractor, tmp_path):
    model, processor = tiny_model_and_processor(tmp_path / "teacher")
    bank = write_teacher_bank(
        tmp_path / "bank", AuricleEncoder(model, processor), {"train": table_of_files}, model_name="tiny"
    )
    teachers = AlignedTeachers.align([bank], None, table_of_files)
    clips = read_files(
        table_of_files, extractor, tmp_path, teachers=teachers, cluster_of_row=np.arange(10, 16)
    )
    (tmp_path / "2.wav").unlink()
    row = clips[2]
    assert row["caption"] == "clip 3" and row["cluster"] == 13
    assert np.array_equal(row["teacher_audio"], teachers.audio_vectors(3))
    assert np.array_equal(row["teacher_text"], teachers.caption_vectors(3))


def test_too_many_unreadable_files_stop_with_the_list(table_of_files, extractor, tmp_path):
    clips = read_files(table_of_files, extractor, tmp_path, share=0.2)
    for index in (1, 4):
        (tmp_path / f"{index}.wav").unlink()
    assert clips[1]["caption"] == "clip 2"
    with pytest.raises(
        DataError, match=r"2 of 6 training clips cannot be read .*0\.2(.|\n)*1\.wav(.|\n)*4\.wav"
    ):
        clips[4]


def test_no_readable_file_at_all_ends_whatever_the_share(table_of_files, extractor, tmp_path):
    clips = read_files(table_of_files, extractor, tmp_path, share=1.0)
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    with pytest.raises(DataError, match="6 of 6"):
        clips[0]


def test_the_log_counts_each_file_once_whoever_wrote_it(tmp_path):
    assert read_unreadable_log(tmp_path / "none") == []
    (tmp_path / "log").write_text('["a", "x"]\n["b", "y"]\n["a", "x"]\n')
    assert read_unreadable_log(tmp_path / "log") == [("a", "x"), ("b", "y")]


def whereabouts(part: np.ndarray, whole: np.ndarray) -> int:
    """The place in a waveform that a part of it is nearest to."""
    scores = np.correlate(whole, part, mode="valid")
    energies = np.convolve(whole**2, np.ones(len(part)), mode="valid")
    return int(np.argmax(scores - energies / 2))


def test_of_a_long_file_another_part_is_read_each_epoch(make):
    clips = make(max_clip_seconds=0.8)
    whole = sound(SECONDS[3], seed=3)
    places = []
    for epoch in range(6):
        clips.set_epoch(epoch)
        part = clips[6]["waveform"]
        assert len(part) == 12800
        places.append(whereabouts(part, whole))
        np.testing.assert_allclose(part, whole[places[-1] : places[-1] + 12800], atol=1e-4)
    assert len(set(places)) == 6
    clips.set_epoch(2)
    assert whereabouts(clips[6]["waveform"], whole) == places[2]


def test_only_the_wanted_part_of_a_long_file_is_decoded(extractor, tmp_path):
    """What lies behind the part is damaged: reading to the end would be an error."""
    path = write_sound(tmp_path / "long.flac", 60.0, seed=5)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    table = build_table(CaptionedClip("s", "train", "long", path, ["a sound"]).rows())
    clips = TrainingClips(table, extractor, DataSection(max_clip_seconds=1.0), seed=0)
    read = 0
    for epoch in range(12):
        clips.set_epoch(epoch)
        clips.unreadable.clear()
        try:
            read += len(clips[0]["waveform"]) == 16000
        except DataError:
            continue
    assert read >= 8


def test_weights_choose_how_often_an_epoch_sees_a_data_set(table, extractor):
    other = build_table(
        CaptionedClip(
            "t", "train", "one", table["audio"][0]["path"], ["from the other", "the other too"]
        ).rows()
    )
    joined = join_tables([weighted(table.remove_columns("kind"), 0.5), weighted(other, 2)])
    clips = TrainingClips(joined, extractor, DataSection(), seed=0)
    assert len(clips) == 4 + 4
    seen = []
    for epoch in range(2):
        clips.set_epoch(epoch)
        captions = [clips[place]["caption"] for place in range(len(clips))]
        assert captions.count("from the other") == 2 and captions.count("the other too") == 2
        seen += captions
    assert sorted(seen) == sorted(list(table["caption"]) + list(other["caption"]) * 4)
