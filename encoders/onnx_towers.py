"""Embeddings from exported ONNX towers; the text tower needs neither torch nor transformers."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEXT_FILE, AUDIO_FILE, RECORD_FILE = "text_tower.onnx", "audio_tower.onnx", "onnx.json"


class OnnxTextTower:
    """
    Sentences to vectors, started in a fraction of the time that torch takes to import.

    Args:
        directory: written by `auricle export`, with the text tower.
        num_threads: number of threads of the runtime; None leaves the choice to it.

    Raises:
        ImportError: if onnxruntime is not installed.
        ValueError: if the directory contains no exported text tower.
    """

    def __init__(self, directory: str | os.PathLike[str], num_threads: int | None = None):
        self.directory = Path(directory)
        self.record = read_record(directory, "text")
        self._session = _session(self.directory / TEXT_FILE, num_threads)
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(self.directory / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_length=self.record["max_text_tokens"])
        pad = json.loads((self.directory / "tokenizer_config.json").read_text(encoding="utf-8")).get(
            "pad_token"
        )
        pad = pad.get("content") if isinstance(pad, dict) else pad
        self._tokenizer.enable_padding(pad_id=self._tokenizer.token_to_id(pad) or 0, pad_token=pad or "[PAD]")

    @property
    def fingerprint(self) -> str:
        """Of the model that was exported."""
        return self.record["fingerprint"]

    def count_tokens(self, captions: Sequence[str]) -> list[int]:
        """
        Tokens of each caption before it is cut, special ones included.

        Raises:
            ValueError: for a caption without words.
        """
        lengths = []
        for encoding in self._tokenizer.encode_batch([self.prepare(caption) for caption in captions]):
            special = sum(encoding.special_tokens_mask) - encoding.attention_mask.count(0)
            rest = sum(part.attention_mask.count(1) - special for part in encoding.overflowing)
            lengths.append(encoding.attention_mask.count(1) + rest)
        return lengths

    def embed(self, captions: Sequence[str]) -> np.ndarray:
        """
        Unit vectors ``(captions, projection_dim)``, float32.

        Raises:
            ValueError: for a caption without words.
        """
        prepared = [self.prepare(caption) for caption in captions]
        encodings = self._tokenizer.encode_batch(prepared)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        return self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    def prepare(self, caption: str) -> str:
        """
        A caption as text for the tokenizer.

        Raises:
            ValueError: for a caption without words.
        """
        from ..processing.caption_form import caption_normalization_of, normalize_caption

        # Exports from before forms had names say whether there was one.
        name = self.record.get("caption_normalization")
        words = normalize_caption(
            caption, name or caption_normalization_of(self.record["normalize_captions"])
        )
        if not words.strip():
            raise ValueError(f"{caption[:50]!r} contains no words to search for.")
        return words


class OnnxAudioTower:
    """
    Sounds to vectors by the ONNX runtime; the front end is the project's own.

    Args:
        directory: written by `auricle export`, with the audio tower.
        num_threads: number of threads of the runtime; None leaves the choice to it.

    Raises:
        ImportError: if onnxruntime is not installed.
        ValueError: if the directory contains no exported audio tower.
    """

    def __init__(self, directory: str | os.PathLike[str], num_threads: int | None = None):
        # An export carries its processor's code; once this is imported, the installed classes are used instead.
        from ..processing import AuricleProcessor

        self.record = read_record(directory, "audio")
        self._session = _session(Path(directory) / AUDIO_FILE, num_threads)
        self._names = [entry.name for entry in self._session.get_inputs()]
        self.extractor = AuricleProcessor.from_pretrained(
            directory, trust_remote_code=False
        ).feature_extractor

    def embed(self, clips: Sequence[Any], batch_size: int = 16) -> np.ndarray:
        """
        Unit vectors ``(clips, projection_dim)``, float32.

        Args:
            clips: sounds in any form that the processor takes.
            batch_size: segments at a time.

        Raises:
            AudioReadError: for a clip that cannot be read.
        """
        rows = []
        for clip in clips:
            rows.append(self.embed_features(self.extractor(clip), batch_size))
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.record["projection_dim"])

    def embed_features(self, inputs: Mapping[str, Any], batch_size: int = 16) -> np.ndarray:
        """The unit vector ``(projection_dim,)`` of one clip, float32, from what the extractor makes of it."""
        mean = self.run(inputs, batch_size).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def run(self, inputs: Mapping[str, Any], batch_size: int) -> np.ndarray:
        """
        The tower's own output, ``(segments, projection_dim)``, not of unit length.

        Args:
            inputs: what the extractor makes of segments.
            batch_size: segments at a time.
        """
        given = {name: inputs[name].numpy() for name in self._names}
        parts = [
            self._session.run(
                None, {name: value[start : start + batch_size] for name, value in given.items()}
            )[0]
            for start in range(0, len(given["input_features"]), batch_size)
        ]
        return np.concatenate(parts)


def read_any_record(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """
    The record of `auricle export` about a directory.

    Raises:
        ValueError: if there is no valid record.
    """
    path = Path(directory) / RECORD_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"] == "auricle onnx" and record["version"] == 1
        _ = record["towers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{directory}: not written by `auricle export` ({RECORD_FILE}: {error}).") from error
    if not known:
        raise ValueError(f"{path}: has another format or version; export the model again.")
    return record


def read_record(directory: str | os.PathLike[str], tower: str) -> dict[str, Any]:
    """The record of `auricle export` about a tower's directory.

    Raises:
        ValueError: if there is no valid record, or no such tower in it.
    """
    record = read_any_record(directory)
    towers = record["towers"]
    if tower not in towers or not (Path(directory) / towers[tower]["file"]).is_file():
        raise ValueError(f"{directory}: no exported {tower} tower found, only {sorted(towers)}.")
    return record


def _session(path: Path, num_threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("exported towers need onnxruntime: pip install 'auricle[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


__all__ = [
    "AUDIO_FILE",
    "RECORD_FILE",
    "TEXT_FILE",
    "OnnxAudioTower",
    "OnnxTextTower",
    "read_any_record",
    "read_record",
]
