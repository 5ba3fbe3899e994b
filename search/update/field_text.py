"""Cleans and limits the text of fields in sound files."""

import re

# Fields are repeated in every row of a file.
MOST_LETTERS = 2000
MOST_FIELDS = 100
LONGEST_NAME = 60

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class FieldReader:
    """
    Collects fields and tags of one sound, and problems with them; invalid content never raises an error.

    Attributes:
        fields: by name; if two sources give the same field, the first one applies.
        tags: without repetition.
        faults: one line each.
    """

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.tags: list[str] = []
        self.faults: list[str] = []
        self._dropped = 0

    def add(self, name: str, text: str) -> None:
        """Adds a field, unless the text is empty or the field exists; a long text is cut, and reported."""
        name, text = one_line(name)[:LONGEST_NAME], clean(text)
        if not (name and text) or name in self.fields:
            return
        if len(self.fields) >= MOST_FIELDS:
            self._dropped += 1
            return
        if len(text) > MOST_LETTERS:
            self.fault(
                f"its field {name!r} has {len(text):,} characters; the first {MOST_LETTERS:,} are kept"
            )
            text = text[:MOST_LETTERS].rstrip()
        self.fields[name] = text

    def tag(self, text: str) -> None:
        """Adds a tag, unless it is empty, too long or a repetition."""
        text = one_line(text)
        if 0 < len(text) <= LONGEST_NAME and text not in self.tags:
            self.tags.append(text)

    def fault(self, reason: str) -> None:
        """Adds a fault, unless it is a repetition."""
        if reason not in self.faults:
            self.faults.append(reason)

    def end(self) -> None:
        """Reports the number of dropped fields; call it after the last field."""
        if self._dropped:
            self.fault(
                f"it has {len(self.fields) + self._dropped:,} fields; the first {MOST_FIELDS} are kept"
            )


def decoded(content: bytes) -> str:
    """Text up to the first zero byte, decoded as UTF-8 if valid, else as Windows-1252, which older programs write."""
    content = content.split(b"\0", 1)[0]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def clean(text: str) -> str:
    """Removes control characters, lone surrogates and outer white space; lines end with ``\\n``."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text).strip(" \t\n\ufeff")


def one_line(text: str) -> str:
    """[`clean`] text on one line, with single spaces."""
    return " ".join(clean(text).split())


def has_controls(text: str) -> bool:
    """Whether a text contains control characters: then something else than text was read."""
    return _CONTROLS.search(text.replace("\r", "\n")) is not None


__all__ = [
    "LONGEST_NAME",
    "MOST_FIELDS",
    "MOST_LETTERS",
    "FieldReader",
    "clean",
    "decoded",
    "has_controls",
    "one_line",
]
