"""Generated scenes: separable sounds, true captions, splits that share nothing, and a cache that survives."""

import multiprocessing
import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import DatasetDict
from nltk.stem.snowball import SnowballStemmer

from auricle.data import DataError, SceneSettings, load_scenes, unique_clips, validate_table
from auricle.data.scenes.captions import write_captions
from auricle.data.scenes.descriptions import Part, SceneDescription, describe_scene, split_of
from auricle.data.scenes.held_out_vocabularies import SECOND_HELD_OUT, UNSEEN_WORDINGS
from auricle.data.scenes.kinds import KINDS
from auricle.data.scenes.rendering import render_scene
from auricle.data.scenes.vocabulary import HELD_OUT, TRAINING, Vocabulary

RATE = 16_000
SMALL = SceneSettings(train_scenes=6, validation_scenes=4, test_scenes=5, seconds=3.0)
FUNCTION_WORDS = {"a", "an", "and", "at", "by", "from", "in", "of", "over", "to", "with"}


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small(small_cache: Path) -> DatasetDict:
    return load_scenes(SMALL, cache_dir=small_cache, progress=False)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.wav"))}


def words(vocabulary: Vocabulary) -> set[str]:
    phrases = [*vocabulary.several]
    for group in (
        vocabulary.names,
        vocabulary.counts,
        vocabulary.loudness,
        vocabulary.pitch,
        vocabulary.templates,
    ):
        phrases += [phrase for some in group.values() for phrase in some]
    return set(re.findall(r"[a-z]+", " ".join(re.sub(r"\{\w+\}", "", phrase.lower()) for phrase in phrases)))


def spectral_profile(event: np.ndarray) -> np.ndarray:
    """Coarse log spectrum over time: its mean, spread and maximum, and what the halves differ by."""
    padded = np.zeros(2 * RATE)
    padded[: len(event)] = event / np.sqrt(np.mean(event**2))
    frames = padded[: 2 * RATE // 512 * 512].reshape(-1, 512) * np.hanning(512)
    power = np.abs(np.fft.rfft(frames))[:, 1:] ** 2
    edges = np.unique(np.geomspace(1, 256, 28).astype(int)) - 1
    bands = np.log(np.add.reduceat(power, edges, axis=1) + 1e-3)
    sounding = bands[: max(len(event) // 512, 2)]
    first, second = np.array_split(sounding, 2)
    return np.concatenate([bands.mean(0), bands.std(0), bands.max(0), second.mean(0) - first.mean(0)])


def onsets(samples: np.ndarray) -> int:
    """Number of times that the level of 20 ms frames rises above a quarter of its maximum after a pause."""
    frames = samples[: len(samples) // 320 * 320].astype(float).reshape(-1, 320)
    sounding = np.sqrt((frames**2).mean(1)) > 0.25 * np.sqrt((frames**2).mean(1)).max()
    return int(sounding[0]) + int((sounding[1:] & ~sounding[:-1]).sum())


def render(relation: str, *parts: Part, seed: int = 0) -> np.ndarray:
    return render_scene(SceneDescription(relation, parts), np.random.default_rng(seed), 5.0, RATE)


def test_there_are_enough_kinds():
    assert len(KINDS) >= 30
    assert KINDS.keys() == TRAINING.names.keys() == HELD_OUT.names.keys() == SECOND_HELD_OUT.names.keys()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_sounds(name):
    kind = KINDS[name]
    for rate, seconds, pitch in product((16_000, 44_100), (0.3, 2.0), (0.52, 1.9)):
        event = kind.make(np.random.default_rng(0), seconds, rate, pitch)
        assert event.ndim == 1 and 0 < len(event) <= round(seconds * rate)
        assert np.isfinite(event).all() and np.abs(event).max() > 0.05
    if kind.lasting:
        halves = np.array_split(kind.make(np.random.default_rng(1), 4.0, RATE, 1.0), 2)
        assert min(np.sqrt(np.mean(half**2)) for half in halves) > 0.01


def test_kinds_are_told_apart_by_the_nearest_mean():
    profiles = np.stack(
        [
            [
                spectral_profile(kind.make(np.random.default_rng([index, draw]), 2.0, RATE, 1.0))
                for draw in range(8)
            ]
            for index, kind in enumerate(KINDS.values())
        ]
    )
    known, asked = profiles[:, :4], profiles[:, 4:]
    scale = known.reshape(-1, known.shape[-1]).std(0)
    distances = np.linalg.norm((asked[:, :, None] - known.mean(1)) / scale, axis=-1)
    right = distances.argmin(-1) == np.arange(len(KINDS))[:, None]
    assert right.mean() > 0.95
    assert right.mean(1).min() >= 0.5


@pytest.mark.parametrize("kind", ["knock", "beep", "laser", "water-drop", "dog-bark"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_counts_are_true(kind, count):
    for seed in range(4):
        assert onsets(render("alone", Part(kind, count), seed=seed)) == count


def test_order_is_true():
    for seed in range(4):
        samples = render("then", Part("crickets"), Part("engine"), seed=seed).astype(float)
        centroids = []
        for half in (samples[: 2 * RATE], samples[3 * RATE :]):
            power = np.abs(np.fft.rfft(half)) ** 2
            centroids.append((power * np.fft.rfftfreq(len(half), 1 / RATE)).sum() / power.sum())
        assert centroids[0] > 3_000 > centroids[1]


def test_overlap_is_true():
    for seed in range(4):
        samples = render("while", Part("bell"), Part("crickets"), seed=seed).astype(float)
        power = np.abs(np.fft.rfft(samples.reshape(10, -1))) ** 2
        frequencies = np.fft.rfftfreq(RATE // 2, 1 / RATE)
        insects = power[:, (frequencies > 4_500) & (frequencies < 5_500)].sum(1)
        bell = power[:, frequencies < 1_600].sum(1)
        assert (insects[1:9] > 0.02 * insects.max()).all()
        assert bell[:1].max() < 0.05 * bell.max()


def test_loudness_is_true():
    for seed in range(4):
        faint, middling, loud = (
            np.abs(render("alone", Part("tone", loudness=level), seed=seed).astype(float)).max()
            for level in ("faint", None, "loud")
        )
        assert 2 * faint < middling < loud / 1.5


def test_pitch_is_true():
    for seed in range(4):
        low, middling, high = (
            np.abs(np.fft.rfft(render("alone", Part("tone", pitch=pitch), seed=seed))).argmax()
            for pitch in ("low", None, "high")
        )
        assert 1.5 * low < middling < high / 1.5


def test_nothing_is_clipped():
    for seed, (first, second) in enumerate(
        product(["static-burst", "rain", "horn", "hammer"], ["thunder", "alarm"])
    ):
        samples = render("then", Part(first, loudness="loud"), Part(second, loudness="loud"), seed=seed)
        assert samples.dtype == np.int16 and len(samples) == 5 * RATE
        assert 0.1 * 32767 < np.abs(samples.astype(int)).max() <= 0.9 * 32767 + 1


def related(word: str, others: set[str]) -> set[str]:
    """The words of the same stem, or of which one begins with the other."""
    stem = SnowballStemmer("english").stem
    return {
        other
        for other in others
        if stem(word) == stem(other)
        or (min(len(word), len(other)) >= 4 and (word.startswith(other) or other.startswith(word)))
    }


def sentences(vocabulary: Vocabulary) -> set[str]:
    return {sentence for some in vocabulary.templates.values() for sentence in some} - {"{a}"}


@pytest.mark.parametrize("unseen", UNSEEN_WORDINGS)
def test_no_stem_and_no_template_of_an_unseen_wording_is_trained_on(unseen):
    held_out, content = UNSEEN_WORDINGS[unseen], words(TRAINING) - FUNCTION_WORDS
    for word in words(held_out) - FUNCTION_WORDS:
        assert not related(word, content), word
    assert not sentences(TRAINING) & sentences(held_out)


def test_the_unseen_wordings_share_no_stem_with_each_other():
    content = words(HELD_OUT) - FUNCTION_WORDS
    for word in words(SECOND_HELD_OUT) - FUNCTION_WORDS:
        assert not related(word, content), word
    assert not sentences(SECOND_HELD_OUT) & sentences(HELD_OUT)


def test_no_text_that_training_reads_holds_a_word_of_an_unseen_wording(small):
    """The words of real tables, not only of the lists that they are drawn from."""
    text = " ".join(caption for split in ("train", "validation") for caption in small[split]["caption"])
    known = set(re.findall(r"[a-z]+", text.lower())) - FUNCTION_WORDS
    for unseen in UNSEEN_WORDINGS.values():
        assert not {word for word in words(unseen) - FUNCTION_WORDS if related(word, known)}


def test_names_are_not_shared_between_kinds():
    for vocabulary in (TRAINING, HELD_OUT, SECOND_HELD_OUT):
        names = [name for some in vocabulary.names.values() for name in some]
        assert len(names) == len(set(names))
        for kind, some in vocabulary.names.items():
            assert len(some) >= 2
            assert all((" | " in name) == KINDS[kind].countable for name in some)


@pytest.mark.parametrize(
    "vocabulary",
    [TRAINING, HELD_OUT, SECOND_HELD_OUT],
    ids=["training", "held out", "second held out"],
)
def test_captions_say_what_happens(vocabulary):
    description = SceneDescription("then", (Part("knock", 3, loudness="loud"), Part("beep", 2, pitch="high")))
    knocks, beeps = (
        {form for name in vocabulary.names[kind] for form in name.split(" | ")} for kind in ("knock", "beep")
    )
    captions = write_captions(description, vocabulary, np.random.default_rng(0), 5)
    assert len(set(captions)) == 5
    for caption in captions:
        assert any(name in caption for name in knocks) and any(name in caption for name in beeps)
        assert any(word in caption.lower() for word in (*vocabulary.counts[3], *vocabulary.several))
        assert any(word in caption.lower() for word in vocabulary.counts[2])
        assert caption[0].isupper() and caption.endswith(".")
    first = captions[0].lower()
    for stated in (vocabulary.counts[3], vocabulary.loudness["loud"], vocabulary.pitch["high"]):
        assert any(word in first for word in stated)


def test_captions_tell_the_order():
    order = re.compile(r"before|followed by|then")
    description = SceneDescription("then", (Part("siren"), Part("rain")))
    for seed in range(20):
        for caption in write_captions(description, TRAINING, np.random.default_rng(seed), 5):
            siren, rain = caption.lower().index("siren"), caption.lower().index("rain")
            assert (siren < rain) == bool(order.search(caption)) == (" after " not in caption)


def test_captions_have_the_right_article():
    description = SceneDescription("while", (Part("alarm"), Part("engine", loudness="faint")))
    text = " ".join(
        caption
        for seed in range(40)
        for caption in write_captions(description, TRAINING, np.random.default_rng(seed), 4)
    ).lower()
    assert "an alarm" in text and "an idling motor" in text and "a quiet engine" in text
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text)


def test_splits_share_no_scene():
    keys, cores = {}, {}
    for split, scenes in (("train", 1200), ("validation", 200), ("test", 200)):
        descriptions = [describe_scene(0, split, index) for index in range(scenes)]
        keys[split] = [description.key for description in descriptions]
        cores[split] = {description.core for description in descriptions}
        assert all(split_of(core, 0) == split for core in cores[split])
    assert not cores["train"] & cores["test"]
    assert not cores["train"] & cores["validation"]
    assert not cores["validation"] & cores["test"]
    assert len(set(keys["test"])) == 200 and len(set(keys["validation"])) == 200
    assert len(set(keys["train"])) > 800


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_evaluation_scenes_differ_in_their_kinds(split, seed):
    descriptions = [describe_scene(seed, split, index) for index in range(200)]
    assert len({frozenset(part.kind for part in description.parts) for description in descriptions}) == 200
    assert {description.relation for description in descriptions} == {"alone", "then", "while"}


def test_training_uses_every_kind_and_relation():
    descriptions = [describe_scene(0, "train", index) for index in range(1200)]
    kinds = [part.kind for description in descriptions for part in description.parts]
    assert min(kinds.count(kind) for kind in KINDS) >= 25
    assert {description.relation for description in descriptions} == {"alone", "then", "while"}


def test_a_scene_does_not_depend_on_the_sizes(small, tmp_path):
    other = SceneSettings(train_scenes=2, validation_scenes=9, test_scenes=2, seconds=3.0)
    tables = load_scenes(other, cache_dir=tmp_path, progress=False)
    for split in ("train", "test", *UNSEEN_WORDINGS):
        few = unique_clips(tables[split])
        assert few["row_id"][:] == unique_clips(small[split])["row_id"][:2]
        assert tables[split]["caption"][:] == small[split]["caption"][: len(tables[split])]
        for mine, theirs in zip(few["audio"], unique_clips(small[split])["audio"], strict=False):
            assert Path(mine["path"]).read_bytes() == Path(theirs["path"]).read_bytes()


def test_table(small, small_cache):
    assert list(small) == ["train", "validation", "test", *UNSEEN_WORDINGS]
    folder = small_cache / f"scenes-{SMALL.fingerprint()}"
    row_ids: list[str] = []
    for split, table in small.items():
        validate_table(table)
        row_ids += table["row_id"]
        clips = unique_clips(table)
        assert len(clips) == SMALL.scenes("test" if split in UNSEEN_WORDINGS else split)
        assert set(table["split"]) == {split} and set(table["license"]) == {"CC0-1.0"}
        counts = [table["clip_id"][:].count(clip_id) for clip_id in clips["clip_id"]]
        assert min(counts) >= 3 and max(counts) <= 5
        for clip in clips:
            path = Path(clip["audio"]["path"])
            assert path.is_relative_to(folder) and set(clip["kinds"]) == {
                kind for kind in KINDS if kind in clip["scene"].replace("|", " ").split()
            }
            assert all(kind in path.name for kind in clip["kinds"])
            info = soundfile.info(path)
            assert (info.frames, info.samplerate, info.subtype) == (3 * RATE, RATE, "PCM_16")
    assert len(row_ids) == len(set(row_ids))


@pytest.mark.parametrize("split", UNSEEN_WORDINGS)
def test_unseen_wording_is_of_the_test_clips(small, split):
    seen, unseen = unique_clips(small["test"]), unique_clips(small[split])
    assert seen["clip_id"][:] == unseen["clip_id"][:]
    assert seen["audio"][:] == unseen["audio"][:]
    known = words(TRAINING) - FUNCTION_WORDS
    for caption in small[split]["caption"]:
        assert not known & set(re.findall(r"[a-z]+", caption.lower()))


def test_second_call_renders_nothing(small, small_cache):
    before = {path: path.stat().st_mtime_ns for path in small_cache.rglob("*") if path.is_file()}
    again = load_scenes(SMALL, cache_dir=small_cache, progress=False)
    after = {path: path.stat().st_mtime_ns for path in small_cache.rglob("*") if path.is_file()}
    assert after == before
    assert again["train"][:] == small["train"][:]


def test_interrupted_rendering_is_continued_bit_for_bit(small, small_cache, tmp_path):
    whole = small_cache / f"scenes-{SMALL.fingerprint()}"
    broken = tmp_path / whole.name
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "table")
    lost = sorted(broken.rglob("*.wav"))[::2]
    for path in lost:
        path.rename(path.with_suffix(".part"))
    kept = {path: path.stat().st_mtime_ns for path in broken.rglob("*.wav")}
    load_scenes(SMALL, cache_dir=tmp_path, progress=False)
    assert files(broken) == files(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_moved_cache_is_found(small, small_cache, tmp_path):
    shutil.copytree(small_cache, tmp_path / "moved")
    moved = load_scenes(SMALL, cache_dir=tmp_path / "moved", progress=False)
    assert all(audio["path"].startswith(str(tmp_path / "moved")) for audio in moved["train"]["audio"])
    assert moved["train"]["caption"][:] == small["train"]["caption"][:]


def load_in_process(cache_dir: Path) -> list[str]:
    return load_scenes(SMALL, cache_dir=cache_dir, progress=False)["test"]["row_id"][:]


def test_two_processes_at_once(small, small_cache, tmp_path):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.map(load_in_process, [tmp_path, tmp_path], chunksize=1)
    assert first == second == small["test"]["row_id"][:]
    assert files(tmp_path) == files(small_cache)
    assert not list(tmp_path.rglob("*.part"))


def test_cache_from_the_environment(small_cache, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(small_cache))
    path = load_scenes(SMALL, progress=False)["test"][0]["audio"]["path"]
    assert Path(path).is_relative_to(small_cache)


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the cache"):
        load_scenes(SMALL, cache_dir=tmp_path / "file", progress=False)


def test_fingerprint_follows_the_settings():
    assert SMALL.fingerprint() == SceneSettings(**vars(SMALL)).fingerprint()
    assert SMALL.fingerprint() != SceneSettings(**{**vars(SMALL), "seed": 1}).fingerprint()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_scenes", 0),
        ("test_scenes", 100_000),
        ("validation_scenes", 2.5),
        ("seconds", 1.0),
        ("sampling_rate", 8_000),
        ("seed", -1),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(DataError, match=f"{name} is {value}"):
        SceneSettings(**{name: value})
