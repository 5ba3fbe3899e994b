"""Annotations of a perch-hoplite database as marks, and marks as annotations; by that library."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import SearchError
from .index_files import utc_now
from .mark_files import ImportReport, take_marks
from .marked_index import MarkedIndex
from .marks import Mark, check_moment, check_name
from .refining import refine

DATABASE = "hoplite.sqlite"
# In the metadata of a database that was made here: the model of its vectors.
OWN_KEY = "auricle"
UNCERTAIN = "its annotation is uncertain"
UNKNOWN = "no file of the index has this name"
AMBIGUOUS = "several files of the index have this name"


def import_annotations(index: MarkedIndex, place: Path, label: str, search: str) -> ImportReport:
    """
    Takes annotations of a label over as marks: positive ones fit, negative ones do not, uncertain ones are skipped.

    A recording of the database is the file of the index whose path ends with its name.

    Args:
        index: a [`SoundIndex`].
        place: directory of the database.
        label: label of the annotations.
        search: name of the saved search that the marks are for; made if it is not there.

    Raises:
        SearchError: if there is no such database, it has no such label, or it cannot be read.
        ImportError: if perch-hoplite is not installed.
    """
    search = check_name(search)
    if not (place / DATABASE).is_file():
        raise SearchError(f"{place}: not a perch-hoplite database (no {DATABASE}).")
    report, found, now = ImportReport(), [], utc_now()
    paths = _Names(index.store.file_rows(["path"]).column("path").to_pylist())
    with _database(place, readonly=True) as database:
        from ml_collections import config_dict
        from perch_hoplite.db.datatypes import LabelType

        labels = sorted(database.get_all_labels())
        if label not in labels:
            held = ", ".join(map(repr, labels[:10])) or "none"
            raise SearchError(f"{place}: has no annotation with the label {label!r}; its labels are: {held}.")
        recordings = {row.id: row.filename for row in database.get_all_recordings()}
        rows = database.get_all_annotations(filter=config_dict.create(eq={"label": label}))
        for row in rows:
            name = recordings[row.recording_id]
            where = f"{name}, annotation {row.id}"
            if row.label_type == LabelType.UNCERTAIN:
                report.skipped.append((where, UNCERTAIN))
                continue
            path = paths.find(name)
            if isinstance(path, list):
                report.skipped.append((where, AMBIGUOUS if path else UNKNOWN))
                continue
            try:
                start, end = (float(one) for one in row.offsets)
                check_moment(start, end)
            except ValueError as error:
                report.skipped.append((where, str(error)))
                continue
            fits = row.label_type == LabelType.POSITIVE
            found.append((where, Mark(path, "", start, end, fits, search, "", row.provenance, now)))
    return take_marks(index, found, report)


def export_annotations(index: MarkedIndex, search: str, place: Path, label: str) -> ImportReport:
    """
    Adds the marks of a saved search to a database as annotations, each with the times of its window.

    A database that is not there is made: with the index's vectors of the marked windows. One of another model gets
    annotations only. What it has already is not added twice.

    Args:
        index: a [`SoundIndex`].
        search: name of the saved search.
        place: directory of the database.
        label: label of the annotations.

    Raises:
        SearchError: if there is no such search, or the database cannot be written.
        ImportError: if perch-hoplite is not installed.
    """
    matched, record = refine(index, search).matched, index.store.record
    report = ImportReport(skipped=[(mark.path, reason) for mark, reason in matched.missing], verb="exported")
    fresh = not (place / DATABASE).is_file()
    with _database(place, width=record["width"] if fresh else None) as database:
        from ml_collections import config_dict
        from perch_hoplite.db.datatypes import LabelType

        if fresh:
            database.insert_metadata(OWN_KEY, config_dict.create(fingerprint=record["fingerprint"]))
        with_vectors = _is_own(database, record["fingerprint"])
        recordings = {row.filename: row.id for row in database.get_all_recordings()}
        names = _Names(list(recordings))
        there = {
            _key(row.recording_id, row.offsets, row.label, row.label_type, row.provenance)
            for row in database.get_all_annotations(filter=config_dict.create(eq={"label": label}))
        }
        for place_of, mark in enumerate(matched.marks):
            path = matched.paths[place_of][0]
            name = names.ending(path) or path
            if name not in recordings:
                recordings[name] = database.insert_recording(filename=name)
            offsets = [float(matched.starts[place_of]), float(matched.ends[place_of])]
            if with_vectors:
                vector = matched.vectors[place_of]
                database.insert_window(recordings[name], offsets, vector, handle_duplicates="skip")
            kind = LabelType.POSITIVE if matched.fits[place_of] else LabelType.NEGATIVE
            row = (recordings[name], offsets, label, kind, mark.who or "auricle")
            if _key(*row) in there:
                report.known += 1
                continue
            database.insert_annotation(*row, handle_duplicates="allow")
            report.imported += 1
        database.commit()
    return report


def _key(recording: int, offsets: Sequence[float], label: str, kind: int, provenance: str) -> tuple:
    return recording, tuple(round(float(one), 3) for one in offsets), label, int(kind), provenance


def _is_own(database: Any, fingerprint: str) -> bool:
    try:
        return database.get_metadata(OWN_KEY).get("fingerprint") == fingerprint
    except KeyError:
        return False


@contextmanager
def _database(place: Path, *, readonly: bool = False, width: int | None = None) -> Iterator[Any]:
    """
    Opens a database, or makes one for vectors of a width.

    Raises:
        SearchError: if it cannot be opened, read or written.
        ImportError: if perch-hoplite is not installed.
    """
    try:
        from perch_hoplite.db import sqlite_usearch_impl as implementation
    except ImportError as error:
        raise ImportError(
            "perch-hoplite databases need the library: pip install 'auricle[hoplite]'."
        ) from error
    try:
        config = None if width is None else implementation.get_default_usearch_config(width)
        yield implementation.SQLiteUSearchDB.create(str(place), usearch_cfg=config, readonly=readonly)
    except SearchError:
        raise
    except (sqlite3.Error, OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SearchError(f"{place}: the perch-hoplite database cannot be used ({first}).") from error


class _Names:
    """
    Finds files by the ends of their paths.

    Args:
        paths: of them.
    """

    def __init__(self, paths: Sequence[str]):
        self._paths = set(paths)
        self._by_end: dict[str, list[str]] = {}
        for path in paths:
            self._by_end.setdefault(_parts(path)[-1], []).append(path)

    def find(self, name: str) -> str | list[str]:
        """The one path that ends with a name, compared folder by folder; otherwise the list of matching paths."""
        if name in self._paths:
            return name
        parts = _parts(name)
        found = [path for path in self._by_end.get(parts[-1], []) if _parts(path)[-len(parts) :] == parts]
        return found[0] if len(found) == 1 else found

    def ending(self, path: str) -> str:
        """The longest known path that is a suffix of a path; empty if there is none."""
        if path in self._paths:
            return path
        parts = _parts(path)
        found = [one for one in self._by_end.get(parts[-1], []) if parts[-len(_parts(one)) :] == _parts(one)]
        return max(found, key=len, default="")


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part] or [""]


__all__ = ["AMBIGUOUS", "UNCERTAIN", "UNKNOWN", "export_annotations", "import_annotations"]
