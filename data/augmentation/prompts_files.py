"""Prompts as versioned files: the prompt's version is recorded with each answer."""

import hashlib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..schema import DataError

FIELDS = {"translate": ("source", "target", "text"), "mix": ("first", "second", "words")}
CURRENT = {"translate": "translate_v1", "mix": "mix_v1"}


@dataclass(frozen=True)
class Prompt:
    """
    A prompt.

    Attributes:
        task: the task.
        version: name of its file and the first digits of its SHA-256.
        text: with fields in braces.
    """

    task: str
    version: str
    text: str

    def fill(self, **fields: str) -> str:
        """Fills in the prompt's fields; braces in the values stay unchanged."""
        return self.text.format(**fields).strip()


def load_prompt(task: str, path: str | os.PathLike[str] | None = None) -> Prompt:
    """
    The project's prompt for a task, or the user's own.

    Args:
        task: ``translate`` or ``mix``.
        path: a text file in UTF-8 with the same fields in braces.

    Raises:
        DataError: if the file cannot be read, lacks a field or has another one.
    """
    if path is None:
        name = CURRENT[task]
        text = resources.files(__package__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    else:
        name = Path(path).stem
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot read the file as UTF-8 text ({error}).") from error
    fields = {name: f"<{name}>" for name in FIELDS[task]}
    try:
        filled = text.format(**fields)
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"{path}: unknown field ({error}); expected {list(fields)}.") from error
    missing = [name for name, mark in fields.items() if mark not in filled and name != "words"]
    if missing:
        raise DataError(
            f"{path}: the field {{{missing[0]}}} is missing; a prompt for {task!r} needs {list(fields)}."
        )
    return Prompt(task, f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)


__all__ = ["Prompt", "load_prompt"]
