"""The filters of the page: choices from the index, with counts, and the chosen values."""

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..query.filters import file_type_of, metadata_pairs
from ..sound_index import SoundIndex

# Choices of a list, the most common first; other values can be typed.
MOST_CHOICES = 300
# A field of more different values, such as a title, is nothing to choose from.
MOST_VALUES = 50

# How the page calls the filters.
LABELS = {
    "glob": "Folder or path",
    "tag": "Tag",
    "min_duration": "Minimum duration:",
    "max_duration": "Maximum duration:",
    "license": "License",
    "metadata": "Metadata",
    "file_type": "File type",
}
Choices = list[tuple[str, str]]


class FilterValues(NamedTuple):
    """Values of the components of a page's filters; an older page lacks the last ones."""

    tag: str | None = ""
    glob: str | None = ""
    shortest: float | None = 0
    longest: float | None = 0
    least: float | None = -1
    license: str | None = ""
    metadata: Any = ""
    file_type: str | None = ""
    near: float | None = 1.0

    @classmethod
    def of(cls, values: Iterable[Any]) -> "FilterValues":
        """From the values of the components; lists of several choices become tuples."""
        return cls(*(tuple(value) if isinstance(value, list) else value for value in values))

    def conditions(self) -> dict[str, Any]:
        """
        Keyword arguments of a search.

        Raises:
            SearchError: for metadata that are not NAME=VALUE.
        """
        told = self.metadata or ""
        lines = told.splitlines() if isinstance(told, str) else told
        return {
            "tag": self.tag or None,
            "glob": (self.glob or "").strip() or None,
            "min_duration": self.shortest or None,
            "max_duration": self.longest or None,
            "license": self.license or None,
            "metadata": metadata_pairs(line for line in lines if line.strip()),
            "file_type": self.file_type or None,
        }

    @property
    def least_score(self) -> float | None:
        """Of results; None if none is asked for."""
        return None if self.least is None or self.least <= -1 else self.least

    @property
    def near_cosine(self) -> float | None:
        """Minimum cosine of near copies; None if only identical files are grouped."""
        return None if self.near is None or self.near >= 1 else self.near

    def on_page(self) -> list[Any]:
        """Values for the components."""
        return [list(value) if isinstance(value, tuple) else value for value in self]


class Facets(NamedTuple):
    """
    Values that files of an index can be filtered by; each choice as (label with the count, value).

    Attributes:
        tags, licenses, file_types: values.
        folders: patterns of paths, from an indexed folder on; absolute where there are several indexed folders.
        metadata: ``NAME=VALUE`` of fields with few values.
    """

    tags: Choices
    folders: Choices
    licenses: Choices
    metadata: Choices
    file_types: Choices


def facets(index: SoundIndex | None) -> Facets:
    """The current choices; empty without an index."""
    if index is None:
        return Facets([], [], [], [], [])
    rows = index.store.file_rows(["path", "root", "tags", "license", "metadata"]).to_pylist()
    return Facets(
        tags=_choices(Counter(tag for row in rows for tag in row["tags"])),
        folders=_folders([(row["path"], row["root"]) for row in rows]),
        licenses=_choices(Counter(row["license"] for row in rows if row["license"])),
        metadata=_metadata([row["metadata"] for row in rows]),
        file_types=_choices(Counter(filter(None, (file_type_of(row["path"]) for row in rows)))),
    )


def _choices(held: Counter[str]) -> Choices:
    ordered = sorted(held.items(), key=lambda item: (-item[1], item[0]))[:MOST_CHOICES]
    return [(f"{value} ({count:,})", value) for value, count in ordered]


def _folders(files: list[tuple[str, str]]) -> Choices:
    """Folders below the indexed ones, each with all files below it."""
    roots = {root for path, root in files if root != path}
    held: Counter[tuple[str, str]] = Counter()
    for path, root in files:
        if root == path:
            continue
        parts = os.path.relpath(os.path.dirname(path), root).split(os.sep)
        for depth in range(1, len(parts) + 1):
            if parts[0] != os.curdir:
                held[root, os.sep.join(parts[:depth])] += 1
    ordered = sorted(held.items(), key=lambda item: (-item[1], item[0]))[:MOST_CHOICES]
    choices = []
    for (root, folder), count in ordered:
        shown = folder if len(roots) == 1 else os.path.join(root, folder)
        choices.append((f"{shown} ({count:,})", f"{glob.escape(shown)}{os.sep}*"))
    return choices


def _metadata(texts: Iterable[str]) -> Choices:
    held: dict[str, Counter[str]] = {}
    for text, count in Counter(texts).items():
        if text and text != "{}":
            for name, value in json.loads(text).items():
                held.setdefault(name, Counter())[str(value)] += count
    pairs: Counter[str] = Counter()
    for name, values in held.items():
        # What would not be read back as it is cannot be chosen.
        if len(values) <= MOST_VALUES and "=" not in name and name == name.strip():
            pairs.update(
                {
                    f"{name}={value}": count
                    for value, count in values.items()
                    if value == value.strip() and "\n" not in value
                }
            )
    return _choices(pairs)


def filter_components(gr: Any, found: Facets) -> tuple[list[Any], list[Any]]:
    """The components in the order of [`FilterValues`], but for ``near``; and those that an index fills, as `Facets`."""

    def choose(label: str, choices: Choices, **more: Any) -> Any:
        return gr.Dropdown([("", ""), *choices], value="", label=label, allow_custom_value=True, **more)

    with gr.Row():
        tag = choose(LABELS["tag"], found.tags, info="Names of folders are tags, too.")
        folder = choose(LABELS["glob"], found.folders, info="Or a pattern, such as \\*/rain/\\*.")
    with gr.Row():
        license = choose(LABELS["license"], found.licenses)
        file_type = choose(LABELS["file_type"], found.file_types)
    metadata = gr.Dropdown(
        found.metadata,
        value=[],
        multiselect=True,
        allow_custom_value=True,
        label=LABELS["metadata"],
        info="Files must match all of them. Or write NAME=VALUE.",
    )
    with gr.Row():
        shortest = gr.Number(0, label="Minimum duration (s)", minimum=0)
        longest = gr.Number(0, label="Maximum duration (s, 0: any)", minimum=0)
        least = gr.Slider(-1, 1, -1, step=0.01, label="Minimum score")
    fields = [tag, folder, shortest, longest, least, license, metadata, file_type]
    return fields, [tag, folder, license, metadata, file_type]


def offered(gr: Any, index: SoundIndex | None) -> list[Any]:
    """Updates of the components that the index fills."""
    found = facets(index)
    return [
        gr.update(choices=choices if choices is found.metadata else [("", ""), *choices])
        for choices in (found.tags, found.folders, found.licenses, found.metadata, found.file_types)
    ]


__all__ = ["LABELS", "Facets", "FilterValues", "facets", "filter_components", "offered"]
