"""
One rule for comparing file names, used wherever a written name is looked up on a disk.

The same text may be stored in two ways: macOS stores "é" as "e" and an accent (Unicode form NFD), other systems and
most keyboards as one character (NFC; Unicode Standard Annex 15). Programs that pack and unpack change one into the
other, and backslashes into slashes or back.
"""

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

How = Literal["same", "form", "case", "blanks"]

_REFUSED_CHARACTERS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
# Windows treats superscript digits as digits here.
_DEVICE_NAME = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.I
)


class NameMatch(NamedTuple):
    """
    The files that a written name means.

    Attributes:
        how: ``"same"``: character by character; ``"form"``: in another Unicode form, or with backslashes for
            slashes; ``"case"``: with upper for lower case or back; ``"blanks"``: without the blanks at its ends.
        names: the stored names of the files; several if none matches better than the others.
    """

    how: How
    names: tuple[str, ...]

    @property
    def is_certain(self) -> bool:
        """Whether the name is the same text as the file's; otherwise the user must be informed."""
        return self.how in ("same", "form")

    def told(self, written: str, stored: str) -> str:
        """The remark on a name that matches a file's name only loosely."""
        blanks = "without the blanks at its ends"
        what = blanks if self.how == "blanks" else "which differs in upper and lower case"
        return f"{written!r} is taken for {stored!r}, {what}"


def composed(text: str) -> str:
    """The text in Unicode's form NFC, in which equal texts are equal strings."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """The text in a form in which upper and lower case are equal too (caseless matching, Unicode 3.13, D145)."""
    return text.lower() if text.isascii() else composed(composed(text).casefold())


def same_names(one: str, other: str) -> bool:
    """Whether two names are the same text in any Unicode form."""
    return composed(one) == composed(other)


class NameTable:
    """
    Names of files, to find written ones in.

    The rule: a file of exactly this name; otherwise one whose name is equal in NFC, with backslashes as
    slashes; otherwise one that differs in upper and lower case only; otherwise one that matches after blanks at both
    ends are removed. Blanks are part of a name: a file with the same blanks is found first.

    Args:
        names: stored names, relative or absolute.
    """

    def __init__(self, names: Iterable[str]):
        # Mapped to itself, so that the string from the list is returned.
        self._names = {name: name for name in names}
        self._by_key: dict[Callable[[str], str], dict[str, list[str]]] = {}

    def find(self, name: str, folder: str = "") -> NameMatch | None:
        """
        The files that a name refers to; None if there is none.

        Args:
            name: as written.
            folder: stored name of the folder that it is relative to; loose matches must be in it.
        """
        target = _joined(folder, name)
        stored = self._names.get(target)
        if stored is not None:
            return NameMatch("same", (stored,))
        same_text = self._table(_composed_path).get(_composed_path(target))
        if same_text:
            return NameMatch("form", tuple(same_text))
        if folder and not _lies_in(_composed_path(target), _composed_path(folder), "/"):
            return None
        steps: list[tuple[How, Callable[[str], str], str]] = [
            ("case", _folded_path, name),
            ("blanks", _composed_path, name.strip()),
            ("blanks", _folded_path, name.strip()),
        ]
        for how, key, written in steps:
            found = self._table(key).get(key(_joined(folder, written)), ())
            # Folders above are as they are stored: "Rain" is not what a file in "rain" speaks of.
            found = [path for path in found if not folder or _lies_in(path, folder)]
            if found:
                return NameMatch(how, tuple(found))
        return None

    def _table(self, key: Callable[[str], str]) -> dict[str, list[str]]:
        if key not in self._by_key:
            table: dict[str, list[str]] = {}
            for name in self._names:
                table.setdefault(key(name), []).append(name)
            self._by_key[key] = table
        return self._by_key[key]


def _joined(folder: str, name: str) -> str:
    return os.path.normpath(os.path.join(folder, name))


def _composed_path(path: str) -> str:
    return posixpath.normpath(composed(path).replace("\\", "/"))


def _folded_path(path: str) -> str:
    return folded(_composed_path(path))


def _lies_in(path: str, folder: str, separator: str = os.sep) -> bool:
    return path.startswith(folder.rstrip(separator) + separator)


def portable_name(name: str) -> str:
    """
    A file name that Linux, macOS and Windows accept, from any text.

    Windows refuses some characters, dots and blanks at the end, and the names of devices with any extension
    (Microsoft, "Naming Files, Paths, and Namespaces").

    Args:
        name: without folders.

    Returns:
        The same name, unless a system refuses it: refused characters become ``_``, dots and blanks at the end are
        removed, and ``_`` precedes the name of a device. Not shortened; ``_`` for an empty name.
    """
    name = _REFUSED_CHARACTERS.sub("_", name).rstrip(". ")
    return f"_{name}" if not name or _DEVICE_NAME.match(name) else name


__all__ = ["NameMatch", "NameTable", "composed", "folded", "portable_name", "same_names"]
