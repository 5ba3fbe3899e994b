"""An ensemble of dual encoders: a file that names its members and their weights, used like a model."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...encoders import AudioTextEncoder, load_encoder
from ...files.json_files import read_json, write_json
from ..similarities import Similarities, SimilarityError, compute_similarities, weighted_sum

FORMAT = "auricle ensemble"
# 1: models are named as they were given. 2: relative to the file's directory.
VERSIONS = (1, 2)


class EnsembleError(ValueError):
    """An ensemble file that cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class Member:
    """
    One member.

    Attributes:
        name: ``system/tower``, such as ``sid2/passt``, or any name.
        model: model directory, Hub id, or a directory of saved similarities.
        weight: 0 or more.
    """

    name: str
    model: str
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """
    Members and how their weights were found.

    Attributes:
        members: at least one with a weight above 0.
        how: method, split and values, for the record.
    """

    members: tuple[Member, ...]
    how: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str], *, relative: bool = False) -> None:
        """
        Writes the ensemble as JSON.

        Args:
            path: path of the file.
            relative: name the members' directories relative to the file's, so that both can be moved together.
        """
        members = [asdict(one) for one in self.members]
        if relative:
            for member in members:
                member["model"] = Path(os.path.relpath(member["model"], Path(path).parent)).as_posix()
        value = {"format": FORMAT, "version": 2 if relative else 1, "members": members}
        write_json(Path(path), {**value, "how": self.how})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Ensemble":
        """
        Reads an ensemble file.

        Raises:
            EnsembleError: for another kind of file or version, or a member with a missing field or invalid weight.
        """
        try:
            value = read_json(Path(path))
        except ValueError as error:
            raise EnsembleError(str(error)) from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise EnsembleError(f"{path}: not a file of `auricle ensemble`.")
        if value.get("version") not in VERSIONS:
            raise EnsembleError(
                f"{path}: version {value.get('version')!r}, but this program reads {' and '.join(map(str, VERSIONS))}."
            )
        parent = Path(os.path.abspath(path)).parent if value["version"] == 2 else None
        members = []
        for number, entry in enumerate(value.get("members") or []):
            try:
                model = str(entry["model"])
                if parent is not None:
                    model = os.path.normpath(parent / model)
                members.append(Member(str(entry["name"]), model, float(entry["weight"])))
            except (KeyError, TypeError, ValueError) as error:
                raise EnsembleError(
                    f"{path}: member {number} must have name, model and weight, a number (got {entry!r})."
                ) from error
        weights = [member.weight for member in members]
        if not all(0 <= weight < float("inf") for weight in weights) or not sum(weights) > 0:
            raise EnsembleError(f"{path}: weights {weights} must be 0 or more, and not all 0.")
        return cls(tuple(members), value.get("how") or {})

    @staticmethod
    def is_one(path: str | os.PathLike[str]) -> bool:
        """Whether a path can only mean an ensemble file."""
        return Path(path).suffix.lower() == ".json" and Path(path).is_file()

    @property
    def used(self) -> list[Member]:
        """Members with a weight above 0; the others are not loaded."""
        return [member for member in self.members if member.weight > 0]

    def similarities(
        self,
        table: Dataset,
        *,
        name: str = "ensemble",
        batch_size: int = 32,
        progress: bool = False,
        load: Callable[[str], AudioTextEncoder] = load_encoder,
    ) -> Similarities:
        """
        The weighted sum of the members' similarities on one split; models are loaded one after another.

        Raises:
            SimilarityError: if saved similarities belong to other queries or clips.
            ValueError: for a member that cannot be loaded.
        """
        parts = [
            member_similarities(
                member.model, table, name=member.name, batch_size=batch_size, progress=progress, load=load
            )
            for member in self.used
        ]
        return weighted_sum(parts, [member.weight for member in self.used], name)

    def embed_captions(self, captions: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """
        Vectors whose inner product with the vectors of [`embed_clips`] is the weighted mean of the members' cosines.

        Each member's unit vectors are scaled by the square root of its share of the weights and concatenated:
        an ensemble can be indexed like one model.

        Returns:
            float32 ``(captions, sum of the members' widths)``, unit length.

        Raises:
            EnsembleError: if a member is saved similarities: those have no vectors.
        """
        return self._joined(lambda encoder: encoder.embed_texts(captions, batch_size=batch_size))

    def embed_clips(self, clips: Sequence[Any], *, batch_size: int = 16) -> np.ndarray:
        """Vectors of clips, see [`embed_captions`]; raises AudioReadError for a clip that cannot be read."""
        return self._joined(lambda encoder: encoder.embed_clips(clips, batch_size=batch_size)[0])

    def _joined(self, embed: Callable[[AudioTextEncoder], np.ndarray]) -> np.ndarray:
        total = sum(member.weight for member in self.used)
        parts = []
        for member in self.used:
            if Similarities.is_one(member.model):
                raise EnsembleError(
                    f"member {member.name!r}: {member.model} contains similarities, which have no vectors."
                )
            parts.append(embed(load_encoder(member.model)) * np.float32((member.weight / total) ** 0.5))
        return np.concatenate(parts, axis=1)


def member_similarities(
    model: str,
    table: Dataset,
    *,
    name: str,
    batch_size: int = 32,
    progress: bool = False,
    load: Callable[[str], AudioTextEncoder] = load_encoder,
) -> Similarities:
    """
    A member's similarities on one split: read if they are saved, otherwise computed with the encoder that ``load``
    returns for the model.

    Raises:
        SimilarityError: if saved ones do not belong to this table's rows.
        ValueError: if there is no such model.
    """
    if Similarities.is_one(model):
        saved = Similarities.load(model)
        if saved.query_ids != list(table["row_id"]):
            raise SimilarityError(
                f"{model}: contains similarities of {saved.source} {saved.split}, {len(saved.query_ids)} "
                "queries, not of "
                f"the {len(table)} rows of {table['source'][0]} {table['split'][0]}, or in another order."
            )
        return saved
    return compute_similarities(load(model), table, name=name, batch_size=batch_size, progress=progress)


__all__ = ["Ensemble", "EnsembleError", "Member", "member_similarities"]
