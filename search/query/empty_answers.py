"""Explains an empty result: which filter matches no file, and the nearest values in the index."""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import numpy as np

from ...files.file_names import composed
from .filters import Filters, file_type_of

MOST_NEAR = 3
# Share of letters that two words have in common, from which on one is near the other.
LEAST_LIKENESS = 0.6
# How filters are called on the command line.
OPTIONS = {
    "glob": "--path",
    "tag": "--tag",
    "min_duration": "--min-duration",
    "max_duration": "--max-duration",
    "file": "--in",
    "license": "--license",
    "metadata": "--metadata",
    "file_type": "--type",
}


def empty_because(files: Mapping[str, np.ndarray], filters: Filters, names: Mapping[str, str]) -> list[str]:
    """
    Filters that match no file, one sentence each, with similar values from the index.

    Args:
        files: files of the index, as [`IndexContents.files`] gives them.
        filters: as the query had them.
        names: the user's names of the fields of [`Filters`], such as `OPTIONS`.

    Returns:
        For each filter that excludes every file by itself, one sentence; if each passes some files, one sentence on
        their combination. None if some file passes all of them.
    """
    if not len(files["path"]) or filters.mask(files).any():
        return []
    told, left = [], []
    for label, value, single in _single(filters, names):
        count = int(single.mask(files).sum())
        if count:
            left.append(f"{label} {value}: {_count(count)}")
        else:
            near = _near(files, single)
            told.append(f"{label} {value} matches no file of the index{f'; {near}' if near else ''}.")
    return told or [f"No file passes all filters together ({'; '.join(left)})."]


def _single(filters: Filters, names: Mapping[str, str]) -> Iterable[tuple[str, str, Filters]]:
    """Label, value and filter of each condition, one condition at a time."""
    none = Filters(roots=filters.roots)
    for entry in fields(Filters):
        value = getattr(filters, entry.name)
        if entry.name == "roots" or value is None:
            continue
        if entry.name == "metadata":
            for name, wanted in value.items():
                yield names["metadata"], f"{name}={wanted}", replace(none, metadata={name: wanted})
        else:
            shown = f"{value:g}" if isinstance(value, float | int) else str(value)
            yield names[entry.name], shown, replace(none, **{entry.name: value})


def _near(files: Mapping[str, np.ndarray], single: Filters) -> str:
    """What the index has that is near the value of a filter, in words; empty if nothing is."""
    if single.min_duration is not None:
        return f"the longest file has {files['duration'].max():.1f} s"
    if single.max_duration is not None:
        return f"the shortest file has {files['duration'].min():.1f} s"
    if single.tag is not None:
        return _near_values(single.tag, Counter(tag for tags in files["tags"] for tag in tags), "tags")
    if single.license is not None:
        held = Counter(license for license in files["license"] if license)
        return _near_values(single.license, held, "licenses")
    if single.glob is not None:
        return _near_paths(files, single)
    if single.file_type is not None:
        held = Counter(filter(None, (file_type_of(path) for path in files["path"])))
        return _near_values(single.file_type.strip().removeprefix("."), held, "file types")
    name, wanted = next(iter(single.metadata.items()))
    pairs = [json.loads(text) for text in files["metadata"] if text != "{}"]
    held = Counter(str(row[name]) for row in pairs if name in row)
    if held:
        return _near_values(wanted, held, f"values of {name}")
    found = _nearest(name, Counter(name for row in pairs for name in row))
    return f"there is the entry {', '.join(found)}" if found else "no file has such an entry"


def _near_values(wanted: str, held: Counter[str], what: str) -> str:
    found = _nearest(wanted, held)
    if found:
        return f"similar values: {', '.join(f'{value!r} ({_count(held[value])})' for value in found)}"
    if not held:
        return f"the index has no {what}"
    common = ", ".join(repr(value) for value, _ in held.most_common(MOST_NEAR))
    return f"the most common {what} are {common}"


def _nearest(wanted: str, held: Counter[str]) -> list[str]:
    """Values that differ only in case, contain the wanted value, or are spelt similarly."""
    folded = composed(wanted).casefold()
    by_form: dict[str, list[str]] = {}
    for value, _ in held.most_common():
        by_form.setdefault(composed(value).casefold(), []).append(value)
    forms = [folded] if folded in by_form else []
    forms += [form for form in by_form if folded in form or form in folded]
    forms += difflib.get_close_matches(folded, by_form, n=MOST_NEAR, cutoff=LEAST_LIKENESS)
    return [value for form in dict.fromkeys(forms) for value in by_form[form]][:MOST_NEAR]


def _near_paths(files: Mapping[str, np.ndarray], single: Filters) -> str:
    """Files that the pattern would leave in other case, or anywhere in the path."""
    folded = {"path": np.array([path.casefold() for path in files["path"]], dtype=object)}
    roots = tuple(root.casefold() for root in single.roots)
    for what, glob in (
        ("in upper and lower case it differs from", single.glob.casefold()),
        (
            "a pattern is compared with the whole path; with * around it, it matches",
            f"*{single.glob.casefold()}*",
        ),
    ):
        kept = Filters(glob=glob, roots=roots).mask(folded)
        if kept.any():
            first = files["path"][int(np.argmax(kept))]
            more = int(kept.sum()) - 1
            return f"{what} {first}" + (f" and {more:,} more" if more else "")
    return f"a path of the index is {files['path'][0]}"


def _count(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"


__all__ = ["OPTIONS", "empty_because"]
