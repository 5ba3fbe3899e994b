"""Saves finished results of a comparison by content, so that a later or resumed call reuses them."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ... import __version__
from ...encoders import AudioTextEncoder, EncoderError
from ...files.json_files import read_json, write_json
from ...files.replacing import replace_path
from ...files.saved_directories import recover_directory, replace_directory
from ..similarities import Similarities, SimilarityError

FORMAT, VERSION = "auricle comparison results", 1
INFO, SIMILARITIES = "split.json", "similarities"

logger = logging.getLogger(__name__)

Values = dict[tuple[str, str], dict[str, np.ndarray]]


def key_of_encoder(encoder: AudioTextEncoder) -> str | None:
    """
    Key of an encoder's similarities; None for an encoder without a fingerprint.

    It covers the fingerprint, how the weights are run (an ONNX export has its model's fingerprint), the window and
    this package's version: another version may read or cut a sound differently.
    """
    try:
        fingerprint = encoder.fingerprint
    except EncoderError:
        return None
    how = [type(encoder).__name__, encoder.precision, encoder.window_seconds, encoder.embedding_dim]
    return _digest(["encoder", fingerprint, how, __version__])


def key_of_ensemble(keys: list[str | None], weights: list[float]) -> str | None:
    """Key of an ensemble's metrics; None if a member has no key."""
    return None if None in keys else _digest(["ensemble", keys, weights])


def key_of_similarities(similarities: Similarities) -> str:
    """Key of the metrics of saved similarities."""
    digest = hashlib.sha256()
    for name, array in sorted(similarities.score_tensors().items()):
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.tobytes())
    return _digest(["similarities", digest.hexdigest()])


class KeptResults:
    """
    Results of finished systems on one split, ``DIRECTORY/<digest of the split>/<key of the system>``.

    A damaged file is treated as missing, with a warning.

    Args:
        directory: directory of all comparisons; created with the first result.
        split_digest: see [`digest_of_split`].
        fresh: ignore saved results; new results replace them.
    """

    def __init__(self, directory: str | os.PathLike[str], split_digest: str, *, fresh: bool = False):
        self.directory = Path(directory) / split_digest[:32]
        self._split_digest, self._fresh = split_digest, fresh
        # What this object has kept itself, which is always taken.
        self._own: set[Path] = set()

    def unreadable(self) -> list[tuple[str, str]] | None:
        """(clip id, reason) of the split's unreadable clips; None if unknown."""
        try:
            info = None if self._fresh else read_json(self.directory / INFO)
            if not info or (info["format"], info["version"]) != (FORMAT, VERSION):
                return None
            return [(clip["clip_id"], clip["reason"]) for clip in info["unreadable"]]
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s: damaged (%s); every clip is decoded again", self.directory / INFO, error)
            return None

    def keep_unreadable(self, unreadable: list[tuple[str, str]], description: Mapping[str, Any]) -> None:
        """Saves the list of unreadable clips, with a readable description of the split."""
        clips = [{"clip_id": clip, "reason": reason} for clip, reason in unreadable]
        about = {"format": FORMAT, "version": VERSION, "digest": self._split_digest, **description}
        write_json(self.directory / INFO, {**about, "unreadable": clips})

    def similarities(self, key: str | None, name: str) -> Similarities | None:
        """An encoder's stored similarities by its key, under its present name; None if there are none."""
        if key is None:
            return None
        path = self._of(key) / SIMILARITIES
        if self._fresh and path not in self._own:
            return None
        recover_directory(path)
        if not Similarities.is_one(path):
            return None
        try:
            kept = Similarities.load(path)
        except SimilarityError as error:
            logger.warning("%s; computed again", error)
            return None
        return replace(kept, name=name, origin={**kept.origin, "model": name})

    def keep_similarities(self, key: str | None, similarities: Similarities) -> None:
        """Stores similarities atomically; those without a key are not stored."""
        if key is None:
            return
        path = self._of(key) / SIMILARITIES
        replace_directory(path, similarities.save)
        self._own.add(path)

    def values(self, key: str | None, relevance_digest: str) -> Values | None:
        """A system's stored [`split_values`]; None if there are none for these annotations."""
        if key is None or self._fresh:
            return None
        path = self._values_path(key, relevance_digest)
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            logger.warning("%s: damaged (%s); computed again", path, error)
            return None
        values: Values = {}
        # Tensors come back sorted by name; parts and metrics keep the order in which they were computed.
        for name in sorted(tensors):
            _, kind, part, metric = name.split("/")
            values.setdefault((kind, part), {})[metric] = tensors[name]
        return values

    def keep_values(self, key: str | None, relevance_digest: str, values: Values) -> None:
        """Stores a system's values, unless it has no key."""
        if key is None:
            return
        names = ((kind, part, metric) for (kind, part), metrics in values.items() for metric in metrics)
        tensors = {
            f"{number:03d}/{kind}/{part}/{metric}": np.ascontiguousarray(values[kind, part][metric])
            for number, (kind, part, metric) in enumerate(names)
        }
        path = self._values_path(key, relevance_digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(tensors, temporary)
        replace_path(temporary, path)

    def _of(self, key: str) -> Path:
        return self.directory / key[:32]

    def _values_path(self, key: str, relevance_digest: str) -> Path:
        return self._of(key) / f"values-{relevance_digest[:32]}.safetensors"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


__all__ = ["KeptResults", "Values", "key_of_encoder", "key_of_ensemble", "key_of_similarities"]
