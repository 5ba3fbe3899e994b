"""Reads metadata files next to sounds; fields within sound files are read by `sound_fields`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...files.metadata_files import FILE_NAME, MetadataRow

LICENSE_NAMES = ("license", "licence")


@dataclass(frozen=True)
class Description:
    """
    The description of one sound in a metadata file.

    Attributes:
        license: or None.
        tags: from a column ``tags``, split at commas and semicolons.
        metadata: the other columns that are not empty.
        hash: hash of these fields; empty without a description.
    """

    license: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    hash: str = ""


NOTHING = Description()


def description_of(told: MetadataRow) -> Description:
    """The description of a sound in a row of a metadata file."""
    row = {
        name: _text(value)
        for name, value in told.values.items()
        if name != FILE_NAME and value not in (None, "")
    }
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
    license = next((row.pop(name) for name in LICENSE_NAMES if name in row), None)
    tags = row.pop("tags", "").replace(";", ",").split(",")
    return Description(license, tuple(tag.strip() for tag in tags if tag.strip()), row, digest)


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def merged(own: Mapping[str, str], said: Description) -> tuple[str | None, dict[str, str]]:
    """License and metadata of a sound: its own fields, overridden by its description."""
    license = said.license or next((own[name] for name in LICENSE_NAMES if own.get(name)), None)
    return license, {
        **{name: value for name, value in own.items() if name not in LICENSE_NAMES},
        **said.metadata,
    }


__all__ = ["LICENSE_NAMES", "NOTHING", "Description", "description_of", "merged"]
