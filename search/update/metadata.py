"""What files of metadata next to sounds say of them; what the sounds tell themselves: `sound_fields`."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FILES = ("metadata.csv", "metadata.jsonl")
LICENSE_NAMES = ("license", "licence")


@dataclass(frozen=True)
class Description:
    """
    What a metadata file says of one sound.

    Attributes:
        license: or None.
        tags: from a column ``tags``, split at commas and semicolons.
        metadata: the other columns that are not empty.
        hash: of all that; empty if nothing is said.
    """

    license: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    hash: str = ""


NOTHING = Description()


def read_descriptions(
    files: Iterable[tuple[str, str]],
) -> tuple[dict[str, Description], list[tuple[str, str]]]:
    """
    Reads ``metadata.csv`` and ``metadata.jsonl`` of all folders between roots and files.

    They are laid out as `datasets` has them for folders of sounds: ``file_name``, relative to their folder, and any
    other columns. A folder's own file stands above its parents'.

    Args:
        files: (path, root), absolute.

    Returns:
        By path what is said, without sounds of which nothing is; and (path, reason) of metadata files that cannot
        be read.
    """
    folders: dict[str, None] = {}
    for path, root in files:
        folder = os.path.dirname(path)
        top = root if path != root else folder
        while folder not in folders and (folder == top or folder.startswith(top.rstrip(os.sep) + os.sep)):
            folders[folder] = None
            folder = os.path.dirname(folder)
    found: dict[str, Description] = {}
    faults: list[tuple[str, str]] = []
    for folder in sorted(folders):
        for name in FILES:
            source = os.path.join(folder, name)
            if not os.path.isfile(source):
                continue
            try:
                for file_name, row in _rows(source):
                    found[os.path.normpath(os.path.join(folder, file_name))] = _description(row)
            except RecursionError:
                faults.append((source, "holds lists or objects too deep within each other."))
            except (OSError, ValueError, csv.Error) as error:
                faults.append((source, getattr(error, "strerror", None) or str(error)))
    return found, faults


def _rows(source: str) -> Iterable[tuple[str, dict[str, str]]]:
    with open(source, encoding="utf-8-sig", newline="") as file:
        if source.endswith(".csv"):
            reader = csv.DictReader(file)
            if "file_name" not in (reader.fieldnames or []):
                raise ValueError(f"has no column file_name, but {reader.fieldnames or 'nothing'}.")
            for row in reader:
                # Cells behind the last column have no name.
                row.pop(None, None)
                yield row.pop("file_name") or "", {name: value for name, value in row.items() if value}
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: is no JSON ({error.msg}, column {error.colno}).") from error
            if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
                raise ValueError(f"line {number}: is no object with a file_name.")
            name = row.pop("file_name")
            texts = {key: _text(value) for key, value in row.items() if value not in (None, "")}
            try:
                "".join((name, *texts, *texts.values())).encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"line {number}: holds half of a character ({error.object[error.start]!r})."
                ) from error
            yield name, texts


def _description(row: dict[str, str]) -> Description:
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
    license = next((row.pop(name) for name in LICENSE_NAMES if name in row), None)
    tags = row.pop("tags", "").replace(";", ",").split(",")
    return Description(license, tuple(tag.strip() for tag in tags if tag.strip()), row, digest)


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def merged(own: Mapping[str, str], said: Description) -> tuple[str | None, dict[str, str]]:
    """License and metadata of a sound: its own fields, and above them what is said of it."""
    license = said.license or next((own[name] for name in LICENSE_NAMES if own.get(name)), None)
    return license, {
        **{name: value for name, value in own.items() if name not in LICENSE_NAMES},
        **said.metadata,
    }


__all__ = ["NOTHING", "Description", "merged", "read_descriptions"]
