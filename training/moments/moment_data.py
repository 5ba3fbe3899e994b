"""The queries and recordings that a moment recipe names, generated or read, as splits."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from ...data.moments.generated_recordings import (
    GeneratedMomentsError,
    make_moment_recordings,
    split_clips,
)
from ...data.sources.folder import load_captioned_folder
from ...evaluation.moments.moment_queries import MomentQuery, read_moment_queries
from ...files.content_digests import ContentDigests
from ...files.saved_directories import replace_directory
from ...processing.sound_file_names import SOUND_ENDINGS, WORD_ENDINGS
from ..recipe.reading import RecipeError
from .moment_recipe import SPLITS, GeneratedSection, MomentDataSection, QueriesEntry

logger = logging.getLogger(__name__)

GENERATED_FOLDER = "generated_moments"
# The layout of generated recordings; a change of how they are made is another one.
GENERATED_VERSION = 1


@dataclass(frozen=True)
class MomentSplit:
    """
    Queries of one split.

    Attributes:
        queries: with their true moments.
        paths: by ``vid`` the recording's file.
        remarks: notes for the reader, such as rounding and skipped rows.
    """

    queries: tuple[MomentQuery, ...]
    paths: Mapping[str, str]
    remarks: tuple[str, ...] = ()

    def durations(self) -> dict[str, float]:
        """Seconds by path, as the queries say."""
        return {self.paths[query.vid]: query.duration for query in self.queries}

    def without(self, bad: Mapping[str, str]) -> "MomentSplit":
        """The split without the queries of recordings (paths) that cannot be used."""
        kept = tuple(query for query in self.queries if self.paths[query.vid] not in bad)
        paths = {vid: path for vid, path in self.paths.items() if path not in bad}
        return MomentSplit(kept, paths, self.remarks)

    def fingerprint(self, contents: Mapping[str, str]) -> str:
        """SHA-256 of queries, moments and the recordings' contents (by path)."""
        digest = hashlib.sha256()
        for query in self.queries:
            row = [query.qid, query.query, contents.get(self.paths[query.vid]), query.moments]
            digest.update(json.dumps(row).encode() + b"\n")
        return digest.hexdigest()


def load_moment_splits(
    section: MomentDataSection, cache_dir: Path, digests: ContentDigests, *, progress: bool = False
) -> dict[str, MomentSplit]:
    """
    The splits of a recipe; generated recordings are made if they are not there yet.

    Args:
        section: the recipe's data.
        cache_dir: where generated recordings are kept.
        digests: of files' contents.
        progress: show progress bars.

    Returns:
        By name ``train``, ``validation`` and, where there is one, ``test``.

    Raises:
        RecipeError: if clips cannot be used, or a recording is missing or there twice.
        MomentFileError: for a file of queries that cannot be used.
        DataError: for a folder of clips that cannot be read.
    """
    if section.source == "generated":
        return _generated(section.generated, cache_dir, digests, progress)
    return {
        name: _from_files(getattr(section, name), section.missing)
        for name in SPLITS
        if getattr(section, name)
    }


def _from_files(entries: Sequence[QueriesEntry], missing: str) -> MomentSplit:
    queries: list[MomentQuery] = []
    paths: dict[str, str] = {}
    remarks: list[str] = []
    for number, entry in enumerate(entries):
        read = read_moment_queries(entry.queries)
        remarks += read.remarks
        own = list(read.queries)
        found, absent = _recordings(Path(entry.audio), {query.vid for query in own})
        if absent and missing == "error":
            raise RecipeError(
                f"{entry.audio}: {len(absent)} of {len({query.vid for query in own})} recordings of {entry.queries} "
                f"are missing, first {absent[0]!r}; a file belongs to the vid that its name without ending equals. "
                "data.missing: skip leaves them out."
            )
        if absent:
            remarks.append(f"{entry.queries}: {len(absent)} recordings are missing, first {absent[0]!r}.")
            own = [query for query in own if query.vid in found]
        if len(entries) > 1:
            # Two files may number their queries, and name their recordings, alike.
            own = [query._replace(qid=f"{number}:{query.qid}", vid=f"{number}:{query.vid}") for query in own]
            found = {f"{number}:{vid}": path for vid, path in found.items()}
        queries += own
        paths |= found
    if not queries:
        raise RecipeError(f"{entries[0].queries}: none of its recordings is in {entries[0].audio}.")
    return MomentSplit(tuple(queries), paths, tuple(remarks))


def _recordings(folder: Path, wanted: set[str]) -> tuple[dict[str, str], list[str]]:
    if not folder.is_dir():
        raise RecipeError(f"{folder}: not a directory of recordings.")
    found: dict[str, str] = {}
    endings = {*SOUND_ENDINGS, *WORD_ENDINGS}
    for path in sorted(folder.rglob("*")):
        if path.stem in wanted and path.suffix.lower() in endings and not path.name.startswith("."):
            if path.stem in found:
                raise RecipeError(f"{found[path.stem]} and {path}: both are recording {path.stem!r}.")
            found[path.stem] = str(path)
    return found, sorted(wanted - found.keys())


def _generated(
    section: GeneratedSection, cache_dir: Path, digests: ContentDigests, progress: bool
) -> dict[str, MomentSplit]:
    tables = _clips_by_split(section, digests)
    splits = {}
    for name, table in tables.items():
        settings = section.settings(name)
        contents = digests.of_files([audio["path"] for audio in table["audio"]], progress=progress)
        rows = [
            [contents[audio["path"]], label, caption]
            for audio, label, caption in zip(table["audio"], table["label"], table["caption"], strict=True)
        ]
        key = json.dumps([GENERATED_VERSION, asdict(settings), rows])
        folder = cache_dir / GENERATED_FOLDER / hashlib.sha256(key.encode()).hexdigest()[:16]
        if not (folder / "moments.jsonl").is_file():
            try:
                replace_directory(
                    folder,
                    lambda target, table=table, settings=settings: make_moment_recordings(
                        table, target, settings, progress=progress
                    ),
                )
            except GeneratedMomentsError as error:
                raise RecipeError(f"data.generated, {name}: {error}") from error
        entry = QueriesEntry(queries=str(folder / "moments.jsonl"), audio=str(folder / "audio"))
        splits[name] = _from_files([entry], "error")
    return splits


def _clips_by_split(section: GeneratedSection, digests: ContentDigests) -> dict[str, Dataset]:
    """Clips of each split; no two splits share one, by content."""
    try:
        train, validation = split_clips(
            load_captioned_folder(section.clips, split="train"), section.validation_share, section.seed
        )
    except (GeneratedMomentsError, KeyError) as error:
        raise RecipeError(
            f"data.generated.clips={section.clips!r}: {error} A column 'label' must give the label of each clip."
        ) from error
    tables = {"train": train, "validation": validation}
    if section.test_recordings:
        tables["test"] = load_captioned_folder(section.clips, split="test")
        if "label" not in tables["test"].column_names:
            raise RecipeError(
                f"data.generated.clips={section.clips!r}: its test split has no column 'label'."
            )
    taken: set[str] = set()
    for name in reversed(list(tables)):
        table = tables[name]
        paths = [audio["path"] for audio in table["audio"]]
        contents = digests.of_files(paths)
        shared = np.array([contents[path] in taken for path in paths])
        taken |= {contents[path] for path in paths}
        if shared.any():
            copies = len({path for path, is_one in zip(paths, shared, strict=True) if is_one})
            logger.warning("%s: removed %d clips that are also in a later split", name, copies)
            tables[name] = table.select(np.flatnonzero(~shared))
    return tables


__all__ = ["MomentSplit", "load_moment_splits"]
