"""Settings of an index's model: window, precision and width, chosen when the index is created."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..encoders.engines.engine_names import AUTO, ENGINES, lack_of_engine
from ..encoders.loading import directory_has_engine
from ..encoders.settings.precision import PRECISIONS, full_name
from .errors import SearchError
from .store.kept_frames import FRAME_KINDS

INDEX_PRECISIONS = PRECISIONS


@dataclass(frozen=True)
class EncoderSettings:
    """
    The user's choices; None means the index's setting, or the model's default for a new index.

    Attributes:
        window_seconds: length of a window.
        precision: "float32", "bfloat16" ("bf16"), "float16" or "int8".
        truncate_dim: number of leading dimensions of the vectors to keep.
        frames: "float16" or "int8" also stores one vector per second; not a setting of the encoder itself.
        engine: engine for float32 on a CPU: "torch", "packed", "onnx" or "auto". All of them give the same
            vectors to 1e-5, so an index may be queried and updated with another one.
    """

    window_seconds: float | None = None
    precision: str | None = None
    truncate_dim: int | None = None
    frames: str | None = None
    engine: str | None = None

    def __post_init__(self) -> None:
        if self.frames not in (None, *FRAME_KINDS):
            raise SearchError(f"frames {self.frames!r}: an index keeps them as {' or '.join(FRAME_KINDS)}.")
        if self.engine not in (None, AUTO, *ENGINES):
            raise SearchError(f"engine {self.engine!r}: accepted are {AUTO}, {', '.join(ENGINES)}.")
        if self.precision is None:
            return
        object.__setattr__(self, "precision", full_name(self.precision))
        if self.precision not in INDEX_PRECISIONS:
            raise SearchError(f"precision {self.precision!r}: an index takes float32, bf16, float16 or int8.")

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "EncoderSettings":
        """The settings that an index was created with."""
        return cls(**{name: record["settings"][name] for name in cls.__dataclass_fields__})

    def options(self) -> dict[str, Any]:
        """Arguments of [`load_encoder`], without those that have their defaults."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: value
            for name, value in given.items()
            if name != "frames"
            and value is not None
            and (name, value) not in (("precision", "float32"), ("engine", "torch"))
        }

    def completed_by(self, directory: str | os.PathLike[str], record: Mapping[str, Any]) -> "EncoderSettings":
        """
        Checks the given settings against those of an index; returns the index's settings with the given engine.

        Args:
            directory: directory of the index, for messages.
            record: settings of the index.

        Raises:
            SearchError: if one differs; the message names both values.
        """
        held = {
            "window_seconds": (record["window_seconds"], "windows of {:g} s"),
            "precision": (record["settings"]["precision"], "precision {}"),
            "truncate_dim": (record["width"], "vectors of {} dimensions"),
        }
        if self.frames not in (None, record["settings"]["frames"]):
            kept = record["settings"]["frames"]
            words = f"keeps frames as {kept}" if kept else "keeps no frames"
            raise SearchError(
                f"{directory}: {words}, not as {self.frames}; `auricle index --frames` adds them, and --frames none "
                "takes them away."
            )
        for name, (value, words) in held.items():
            wanted = getattr(self, name)
            if wanted not in (None, value):
                raise SearchError(
                    f"{directory}: was made with {words.format(value)}, not {words.format(wanted)}. "
                    "Vectors of two kinds cannot be compared: name another --index."
                )
        own = self.of_record(record)
        return own if self.engine is None else replace(own, engine=self.engine)


def usable_engine(model: str | os.PathLike[str], engine: str | None) -> str | None:
    """
    An index's recorded engine, where a model can be computed by it.

    Args:
        model: directory or Hub id.
        engine: as the index records it.

    Returns:
        The engine; None if this machine or this kind of model lacks it: the model's own engine then gives the same
        vectors to 1e-5.
    """
    if engine is None or lack_of_engine(engine) is not None or not directory_has_engine(model, engine):
        return None
    return engine


def remote_code_option(
    directory: str | os.PathLike[str], record: Mapping[str, Any], trusted: bool
) -> dict[str, bool]:
    """
    Whether an index's model may run code of its repository, as an argument of [`load_encoder`].

    The index does not record the user's permission: it must be given each time.

    Raises:
        SearchError: if the index was made with such code, and permission is not given now.
    """
    if not record["settings"]["remote_code"]:
        return {}
    if not trusted:
        raise SearchError(
            f"{directory}: its model {record['model']} runs Python code from its repository. Read that code, and if "
            "you trust it give --trust-remote-code (in Python trust_remote_code=True)."
        )
    return {"trust_remote_code": True}


__all__ = ["INDEX_PRECISIONS", "EncoderSettings", "remote_code_option", "usable_engine"]
