"""Finds a folder's `metadata.csv` and `metadata.jsonl`, in upper or lower case."""

import os
from dataclasses import dataclass, field

from .file_names import folded
from .metadata_files import METADATA_FILES


@dataclass
class FoundMetadata:
    """
    The metadata files of one folder.

    Attributes:
        paths: files to read, `metadata.csv` before `metadata.jsonl`.
        remarks: (path, remark) of those whose names differ from these in upper and lower case.
        ignored: (path, reason) of files ignored because a file of the exact name is next to them.
        unclear: (path, reason) of several files that match equally well; none of them is read.
    """

    paths: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    unclear: list[tuple[str, str]] = field(default_factory=list)


def find_metadata_files(folder: str | os.PathLike[str]) -> FoundMetadata:
    """
    Finds a folder's metadata files by the rule for names of sounds: the exact name, else one that differs in case.

    Args:
        folder: may not exist; then there are none.
    """
    found = FoundMetadata()
    try:
        present = sorted(os.listdir(folder))
    except OSError:
        # A folder that may be entered but not listed.
        present = list(METADATA_FILES)
    for name in METADATA_FILES:
        fitting = [os.path.join(folder, other) for other in present if folded(other) == name]
        fitting = [path for path in fitting if os.path.isfile(path)]
        exact = os.path.join(folder, name)
        if exact in fitting:
            found.paths.append(exact)
            reason = f"not read, because {name} in the same folder has priority"
            found.ignored += [(path, reason) for path in fitting if path != exact]
        elif len(fitting) == 1:
            found.paths += fitting
            found.remarks.append((fitting[0], f"read as {name}, which differs in upper and lower case"))
        elif fitting:
            others = ", ".join(os.path.basename(path) for path in fitting)
            reason = f"not read: {others} differ in upper and lower case only; keep one, as {name}"
            found.unclear += [(path, reason) for path in fitting]
    return found


__all__ = ["FoundMetadata", "find_metadata_files"]
