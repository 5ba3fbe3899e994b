"""
Every form in which sounds and sentences may come, and what each is read as.

The two tables in docs/using.md are made from the parameters of these tests; run this file as a script to write them
again.
"""

import io
import re
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import sound, tiny_front_end, tiny_model_and_processor

from auricle.processing import AudioReadError, AuricleFeatureExtractor, supported_audio_extensions

RATE = 16_000
PAGE = Path(__file__).resolve().parents[2] / "docs" / "using.md"
ONE = sound(1.5, seed=3)
STEREO = np.stack([ONE * 1.5, ONE * 0.5])
THREE = np.stack([sound(1.5, seed=seed) for seed in (3, 4, 5)])
THREE_STEREO = np.stack([[clip * 1.5, clip * 0.5] for clip in THREE])


@dataclass
class Samples:
    data: torch.Tensor
    sample_rate: int


@dataclass
class Decoder:
    """The part of an audio decoder of the `datasets` library that is needed: samples on request."""

    data: torch.Tensor
    rate: int

    def get_all_samples(self):
        return Samples(self.data, self.rate)


class Stream(io.RawIOBase):
    """An open file that cannot go back, as a download is."""

    def __init__(self, content: bytes):
        self.content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.content.readinto(buffer)


def wav(samples: np.ndarray = ONE, kind: str = "WAV") -> bytes:
    """A sound file's bytes; ``samples`` as soundfile wants them, 32-bit float for WAV."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind, subtype="FLOAT" if kind == "WAV" else None)
    return buffer.getvalue()


def saved(folder: Path, name: str = "rain.wav", samples: np.ndarray = ONE) -> Path:
    (folder / name).write_bytes(wav(samples))
    return folder / name


def three_saved(folder: Path) -> list[str]:
    return [str(saved(folder, f"{n}.wav", clip)) for n, clip in enumerate(THREE)]


def column(values: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"audio": values})["audio"]


def series(values: list[Any]) -> Any:
    return pytest.importorskip("pandas").Series(values)


def arrow(values: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").array(values)


@dataclass
class Form:
    """One row of a table: what is given, how it is read, and the tests' examples of it, made in a folder."""

    given: str
    read_as: str
    rate: str
    examples: list[Callable[[Path], Any]]
    clips: int = 1


OWN, NEEDED, IN_DICT = "the file's own", "`sampling_rate=` needed", "in the dict"
CLIP, CHANNELS = "one clip", "one clip, its channels mixed as `downmix` says"
BATCH = "a clip an item"
AUDIO_FORMS = [
    Form("a path, `str` or `Path`", CLIP, OWN, [saved, lambda folder: str(saved(folder))]),
    Form(
        "the `bytes` of a sound file",
        CLIP,
        OWN,
        [lambda _: wav(), lambda _: bytearray(wav()), lambda _: memoryview(wav())],
    ),
    Form(
        "an open binary file, or any object with `read`",
        CLIP,
        OWN,
        [
            lambda folder: saved(folder).open("rb"),
            lambda _: io.BytesIO(wav()),
            lambda _: Stream(wav()),
        ],
    ),
    Form(
        '`{"path": ...}`, if wanted with `offset` and `duration` in seconds',
        CLIP,
        OWN,
        [
            lambda folder: {"path": str(saved(folder))},
            lambda folder: {"path": saved(folder), "array": None, "bytes": None},
            lambda folder: {
                "path": saved(folder, samples=np.concatenate([ONE, ONE])),
                "offset": 1.5,
                "duration": 1.5,
            },
        ],
    ),
    Form(
        '`{"bytes": ..., "path": ...}`, a row of a column `Audio(decode=False)`; the bytes go before the path',
        CLIP,
        OWN,
        [
            lambda _: {"bytes": wav(), "path": None},
            lambda _: {"bytes": wav(), "path": "nowhere/rain.ogg"},
            lambda folder: {"bytes": None, "path": str(saved(folder))},
        ],
    ),
    Form(
        '`{"array": ..., "sampling_rate": ...}` with an array `(samples,)`',
        CLIP,
        IN_DICT,
        [
            lambda _: {"array": ONE, "sampling_rate": RATE},
            lambda _: {"array": ONE.tolist(), "sampling_rate": RATE, "path": None},
            lambda _: MappingProxyType({"array": ONE, "sampling_rate": RATE}),
            lambda _: UserDict({"array": torch.from_numpy(ONE), "sampling_rate": RATE}),
        ],
    ),
    Form(
        '`{"array": ..., "sampling_rate": ...}` with an array `(channels, samples)` or `(samples, channels)`',
        CHANNELS,
        IN_DICT,
        [
            lambda _: {"array": STEREO, "sampling_rate": RATE},
            lambda _: {"array": STEREO.T, "sampling_rate": RATE},
            lambda _: {"array": torch.from_numpy(STEREO), "sampling_rate": RATE},
        ],
    ),
    Form(
        "an audio object of `datasets` (`AudioDecoder`)",
        CHANNELS,
        OWN,
        [
            lambda _: Decoder(torch.from_numpy(ONE)[None], RATE),
            lambda _: Decoder(torch.from_numpy(STEREO), RATE),
        ],
    ),
    Form(
        "an array or tensor `(samples,)`, or a flat list of numbers",
        CLIP,
        NEEDED,
        [
            lambda _: ONE,
            lambda _: ONE.astype(np.float64),
            lambda _: torch.from_numpy(ONE.copy()).requires_grad_(),
            lambda _: ONE.tolist(),
            lambda _: tuple(ONE.tolist()),
            lambda _: series(ONE.tolist()),
        ],
    ),
    Form(
        "an array or tensor `(batch, samples)`",
        "a batch of mono clips",
        NEEDED,
        [lambda _: THREE, lambda _: torch.from_numpy(THREE), lambda _: THREE.tolist(), lambda _: list(THREE)],
        clips=3,
    ),
    Form(
        "an array or tensor `(batch, channels, samples)`, or a list of arrays `(channels, samples)`",
        "a batch of clips, the channels of each mixed as `downmix` says",
        NEEDED,
        [
            lambda _: THREE_STEREO,
            lambda _: torch.from_numpy(THREE_STEREO),
            lambda _: list(THREE_STEREO),
            lambda _: [clip.T for clip in THREE_STEREO],
        ],
        clips=3,
    ),
    Form(
        "a list or tuple of any of the above, mixed if wanted",
        BATCH,
        "each item's",
        [
            lambda folder: [three_saved(folder)[0], THREE[1], {"array": THREE[2], "sampling_rate": RATE}],
            lambda _: (wav(THREE[0]), io.BytesIO(wav(THREE[1])), torch.from_numpy(THREE[2])),
            lambda _: [{"bytes": wav(clip), "path": "x.wav"} for clip in THREE],
        ],
        clips=3,
    ),
    Form(
        "a column of `datasets`, a series of pandas, an array of paths of NumPy or Arrow, any other sequence",
        BATCH,
        "each item's",
        [
            lambda folder: column(three_saved(folder)),
            lambda folder: column([{"bytes": wav(clip), "path": "x.wav"} for clip in THREE]),
            lambda _: column(THREE.tolist()),
            lambda folder: series(three_saved(folder)),
            lambda _: series([{"array": clip, "sampling_rate": RATE} for clip in THREE]),
            lambda folder: np.array(three_saved(folder)),
            lambda folder: np.array([Path(name) for name in three_saved(folder)]),
            lambda folder: arrow(three_saved(folder)),
            lambda folder: (name for name in three_saved(folder)),
        ],
        clips=3,
    ),
]
REFUSED_AUDIO = [
    (
        "an array `(samples, channels)`: one clip, or thousands of clips of two samples?",
        [lambda: STEREO.T, lambda: torch.from_numpy(STEREO.T), lambda: STEREO.T.tolist()],
        r"two ways: as \(batch, samples\) it is 24000 clips of 2 samples each, as \(samples, channels\) one clip",
    ),
    (
        "a bare array without a sampling rate",
        [lambda: ONE, lambda: THREE, lambda: THREE_STEREO, lambda: [ONE]],
        r"audio\[0\] is a bare array: its sampling rate is needed",
    ),
    (
        "an empty sequence",
        [list, lambda: np.array([], dtype=object), lambda: torch.zeros(0, 5)],
        "give at least one clip",
    ),
    ("anything else", [lambda: 3.5, lambda: object()], "accepted: a file path, the bytes of a file"),
]

WORDS = ["a dog barks", "rain"]
TEXT_FORMS = [
    ("a `str`", "one sentence", [lambda: "a dog barks"], 1),
    (
        "a list, tuple or other sequence of `str`: a column of `datasets`, a series of pandas, an array of NumPy",
        "a sentence an item",
        [
            lambda: WORDS,
            lambda: tuple(WORDS),
            lambda: column(WORDS),
            lambda: series(WORDS),
            lambda: np.array(WORDS),
            lambda: iter(WORDS),
        ],
        2,
    ),
]
REFUSED_TEXT = [
    ("a sentence without a word", [lambda: ["rain", " ?! "]], r"text\[1\] is ' \?! ': it contains no word"),
    ("an empty sequence", [list], "give at least one sentence"),
    (
        "`bytes`, a dict, an item that is no `str`",
        [lambda: b"rain", lambda: {"a": 1}, lambda: ["a", 3]],
        "string",
    ),
    (
        "the name of a sound file, by its ending or because there is such a file; with `allow_file_names=True` it "
        "is a sentence",
        [lambda: "clip.opus", lambda: ["rain", "/sounds/Dog Bark.AIFF "], lambda: __file__],
        "the name of a sound file: it would be embedded as words",
    ),
]


def extractor() -> AuricleFeatureExtractor:
    return AuricleFeatureExtractor(**tiny_front_end())


@pytest.mark.parametrize(
    ("form", "example"),
    [(form, n) for form in AUDIO_FORMS for n in range(len(form.examples))],
    ids=lambda value: value.given if isinstance(value, Form) else str(value),
)
def test_every_form_of_sound_gives_the_same_features(form, example, tmp_path):
    rate = RATE if form.rate in (NEEDED, "each item's") else None
    got = extractor()(form.examples[example](tmp_path), sampling_rate=rate)
    expected = [extractor()(clip, sampling_rate=RATE)["input_features"] for clip in THREE[: form.clips]]
    assert got["segment_counts"].tolist() == [2] * form.clips
    torch.testing.assert_close(got["input_features"], torch.cat(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("given", "examples", "message"), REFUSED_AUDIO, ids=[row[0] for row in REFUSED_AUDIO]
)
def test_what_is_no_form_of_sound_is_refused(given, examples, message):
    for example in examples:
        with pytest.raises(ValueError, match=message):
            extractor()(example(), sampling_rate=None if "without" in given else RATE)


@pytest.fixture(scope="module")
def model_and_processor(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    ("examples", "count"), [row[2:] for row in TEXT_FORMS], ids=[row[0] for row in TEXT_FORMS]
)
def test_every_form_of_text_gives_the_same_tokens(model_and_processor, examples, count):
    processor = model_and_processor[1]
    for example in examples:
        assert processor(text=example())["input_ids"].tolist() == [
            processor(text=WORDS)["input_ids"][n, : 5 if count == 1 else None].tolist() for n in range(count)
        ]


@pytest.mark.parametrize(("given", "examples", "message"), REFUSED_TEXT, ids=[row[0] for row in REFUSED_TEXT])
def test_what_is_no_form_of_text_is_refused(model_and_processor, given, examples, message):
    for example in examples:
        with pytest.raises(ValueError, match=message):
            model_and_processor[1](text=example())


def test_a_name_meant_as_a_sentence_has_two_ways_in(model_and_processor):
    processor = model_and_processor[1]
    allowed = processor(text="rain.wav", allow_file_names=True)["input_ids"]
    assert torch.equal(processor(text="rain.wav.")["input_ids"], allowed)
    assert torch.equal(
        processor(text="rain.wav", text_kwargs={"allow_file_names": True})["input_ids"], allowed
    )
    for sentence in ("the format is wav", "a 3.5 mm jack", "rain / wind", "mp3"):
        assert processor(text=sentence)["input_ids"].shape[0] == 1


def test_as_many_logits_as_clips_and_captions(model_and_processor):
    model, processor = model_and_processor
    inputs = processor(text=["a dog", "rain", "a bell"], audio=THREE, sampling_rate=RATE)
    assert model(**inputs).logits_per_audio.shape == (3, 3)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (b"", r"audio\[0\]: the file is empty \(0 bytes\)"),
        (b"RIFF", r"audio\[0\] \(4 bytes\): this is not an audio file"),
        (wav()[:5000], r"truncated: its header declares 96000 bytes of sound"),
        (wav(ONE, "OGG")[:-200], r"truncated: its Ogg stream has no end"),
        ({"bytes": b"no sound", "path": "x.ogg"}, r"x\.ogg \(8 bytes\): this is not an audio file"),
        ({"bytes": b"", "path": "x.ogg"}, r"x\.ogg: the file is empty"),
        (io.StringIO("text"), "open it in binary mode"),
    ],
)
def test_faulty_bytes_are_named(audio, message):
    with pytest.raises(AudioReadError, match=message):
        extractor()([audio])


def test_an_open_file_is_read_from_its_beginning_and_stays_open(tmp_path):
    with open(saved(tmp_path), "rb") as file:
        file.read(100)
        first, again = extractor()(file), extractor()(file)
        assert torch.equal(first["input_features"], again["input_features"])
        assert not file.closed
    compressed = io.BytesIO(wav(ONE, "OGG"))
    assert extractor()(compressed)["segment_counts"].tolist() == [2]


def tables() -> dict[str, str]:
    """The tables of docs/using.md by name."""

    def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
        return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))

    refused = "an error that says so"
    return {
        "forms of sound": table(
            ("`audio=`", "is read as", "sampling rate"),
            [(form.given, form.read_as, form.rate) for form in AUDIO_FORMS]
            + [(given, refused, "") for given, _, _ in REFUSED_AUDIO],
        ),
        "forms of text": table(
            ("`text=`", "is read as"),
            [row[:2] for row in TEXT_FORMS] + [(given, refused) for given, _, _ in REFUSED_TEXT],
        ),
    }


def with_tables(page: str) -> str:
    """The page with its tables, each between two comments, made anew."""
    for name, table in tables().items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        assert page.count(start) == page.count(end) == 1, name
        page = re.sub(
            f"{start}.*?{end}", lambda _, t=table, s=start, e=end: f"{s}\n{t}\n{e}", page, flags=re.S
        )
    return page


def test_the_tables_of_the_page_are_these():
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "run `python tests/processing/test_accepted_forms.py`"


def test_names_with_any_ending_that_is_read_are_no_sentences():
    from auricle.processing.sound_file_names import WORD_ENDINGS, looks_like_sound_file

    for ending in supported_audio_extensions():
        assert looks_like_sound_file(f"no such clip{ending}") == (ending not in WORD_ENDINGS), ending
    assert not looks_like_sound_file("A dog barks. Then it rains.")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
