"""Files that could not be read when they were last tried: told of again, and tried again once they change."""

import json
from contextlib import suppress
from dataclasses import dataclass

from ..processing import decoder_versions
from .index_folder import IndexFolder

FAULTS = "faults.json"


@dataclass(frozen=True)
class KnownFault:
    """
    Attributes:
        size, mtime_ns: of the file, bytes and time of change, when it was tried.
        reason: why it could not be read.
    """

    size: int
    mtime_ns: int
    reason: str


def read_faults(folder: IndexFolder) -> dict[str, KnownFault]:
    """By path what is kept; nothing if other decoders, which may read more, found it."""
    # Without the file, or with half of one, everything is tried again.
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(folder.read(FAULTS))
        if kept["decoder"] == decoder_versions():
            return {path: KnownFault(*fault) for path, fault in kept["faults"].items()}
    return {}


def write_faults(folder: IndexFolder, faults: dict[str, KnownFault]) -> None:
    """
    Keeps faults in place of those that were kept before.

    Raises:
        OSError: if they cannot be written.
    """
    rows = {path: [fault.size, fault.mtime_ns, fault.reason] for path, fault in sorted(faults.items())}
    text = json.dumps({"decoder": decoder_versions(), "faults": rows}, ensure_ascii=False)
    folder.write(FAULTS, (text + "\n").encode())


__all__ = ["KnownFault", "read_faults", "write_faults"]
