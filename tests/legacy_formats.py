"""What earlier versions wrote, unpacked; what it is asked, and when answers have to be equal bit for bit."""

import importlib.metadata
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile
import torch

FORMATS = sorted((Path(__file__).parent / "fixtures").glob("legacy_*"))
# Where everything was made: an index keeps absolute paths.
PLACE = Path("/tmp/auricle-fixture")

SENTENCES = ["a dog barks", "Rain falls, then a bell rings!", "zebras", "two low tones and a long siren"]
# Seconds and samples a second.
AUDIO_PROBES = {"short.flac": (0.6, 16_000), "second.flac": (1.0, 16_000), "long, 8 kHz.flac": (3.3, 8_000)}

INDEX_QUESTIONS = ["rain falls on a roof at night", "dog", "a bell rings"]
FILTERED_QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("rain falls on a roof at night", {"tag": "roof"}),
    ("rain falls on a roof at night", {"license": "CC-BY-4.0"}),
    ("a bell rings", {"glob": "*/bells/*"}),
    ("a bell rings", {"metadata": {"place": "Graz"}}),
    ("dog", {"min_duration": 1.5, "max_duration": 3.0}),
    ("dog", {"negative": "a loud engine"}),
    ("church bell", {"names": True}),
    ("dog", {"top": 2}),
]
SIMILAR_QUESTIONS: list[dict[str, Any]] = [{}, {"start": 1.0, "end": 2.0}, {"tag": "dogs"}]
MOMENT_QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("dog", {}),
    ("a bell rings", {"hop_seconds": 0.25, "top": 3}),
]


class LegacyFormat:
    """
    What one version wrote; each archive is unpacked when it is first asked for, and then only read.

    Args:
        folder: with the archives.
        into: an empty directory.
    """

    def __init__(self, folder: Path, into: Path):
        self.folder, self._into = folder, into

    def unpacked(self, archive: str) -> Path:
        """The directory with an archive's content."""
        target = self._into / archive
        if not target.exists():
            with tarfile.open(self.folder / f"{archive}.tar.xz") as file:
                file.extractall(target, filter="data")
        return target

    def recorded(self, name: str) -> Any:
        """What was written down when the archives were made."""
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def tolerance(self, elsewhere: float) -> float:
        """
        How much a computed number may differ: 0 where it was recorded, since there it has to be equal bit for bit.

        Another processor or another version of a numerical library adds in another order, which moves the last
        bits of float32.

        Args:
            elsewhere: the tolerance on other machines.
        """
        return 0.0 if arithmetic() == self.recorded("made_with") else elsewhere


def arithmetic() -> dict[str, str]:
    """What has to be equal for two processes to round alike, and hence to be compared bit for bit."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "numpy", "transformers", "onnxruntime", "soxr")
    }
    return {
        **versions,
        "libsndfile": soundfile.__libsndfile_version__,
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def vectors_of(model: Any, processor: Any, sounds: Path) -> dict[str, np.ndarray]:
    """A model's vectors ``(probes, width)`` of the sounds and of the sentences, as its users compute them."""
    with torch.no_grad():
        audio = model.get_audio_features(**processor(audio=[str(sounds / name) for name in AUDIO_PROBES]))
        text = model.get_text_features(**processor(text=SENTENCES))
    return {"audio": audio.pooler_output.numpy(), "text": text.pooler_output.numpy()}


def answers_of(
    index: Any,
    library: Path,
    sounds: Path,
    *,
    known: bool = False,
    by_windows: Mapping[str, str] = MappingProxyType({}),
    by_spans: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, list[dict[str, Any]]]:
    """
    An index's answers to all questions.

    Args:
        index: a SoundIndex.
        library: what the index is of, as the index knows it; answers' paths are given relative to it.
        sounds: where the probes lie, which are in no index.
        known: also ask for what is similar to a file that the index has.
        by_windows: what later versions have to be told so that they compare a whole file with windows.
        by_spans: likewise, so that they find moments by windows that overlap.

    Returns:
        By question, hits in order: path, start, end, score, percentile, tags, license and metadata.
    """
    probe = sounds / "long, 8 kHz.flac"
    answers = {f"search {text!r}": index.search(text) for text in INDEX_QUESTIONS}
    answers |= {
        f"search {text!r} {options}": index.search(text, **options) for text, options in FILTERED_QUESTIONS
    }
    answers |= {
        f"similar {options}": index.similar(probe, **by_windows, **options) for options in SIMILAR_QUESTIONS
    }
    answers |= {
        f"moments {text!r} {options}": index.moments(probe, text, **by_spans, **options)
        for text, options in MOMENT_QUESTIONS
    }
    if known:
        church = library / "bells" / "church.flac"
        answers["similar to a known file"] = index.similar(church, **by_windows)
        answers["similar to a known window"] = index.similar(church, start=0.5, end=1.5)
        answers["moments of a known file"] = index.moments(church, "a bell rings", **by_spans)
        answers["search within a file"] = index.search("dog", file=church)
    return {question: [_plain(hit, library) for hit in hits] for question, hits in answers.items()}


def _plain(hit: Any, library: Path) -> dict[str, Any]:
    path = Path(hit.path)
    return {
        "path": path.relative_to(library).as_posix() if path.is_relative_to(library) else path.name,
        "start": hit.start,
        "end": hit.end,
        "score": float(hit.score),
        "cosine": float(hit.cosine),
        "percentile": hit.percentile,
        "tags": list(hit.tags),
        "license": hit.license,
        "metadata": dict(hit.metadata),
    }
