"""An index of one's own sounds: made, brought up to date, asked."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from .answers import ask_table, rank_rows
from .columns import read_columns
from .exports import export_hits, export_index
from .filters import Filters
from .hits import Hit, SearchError
from .index_folder import IndexFolder
from .index_model import check_record, fingerprint_of, load_model, record_of
from .moments import DEFAULT_THRESHOLD, rank_spans
from .query_text import SHORT_QUERY_TEMPLATE, background_vectors, check_template, phrase_query
from .store import EXACT_WINDOWS, RECORD, Store, StoreError

if TYPE_CHECKING:
    from .indexing import IndexReport


class SoundIndex:
    """
    A folder with the vectors of files and of their windows, and the model that made them.

    Up to 250,000 windows (``exact_windows``) a question is one matrix product over vectors held in memory: exact.
    Above, it goes to an approximate index on disk.

    Args:
        directory: of an index that `SoundIndex.create` or `auricle index` made; or its URI in an object store.
        text_tower: directory of an exported text tower (`auricle export --towers text`), which answers without
            loading torch; it has to be of the index's model.
        ray: address of a Ray cluster that embeds, indexes and searches; see [`ray_cluster.RayCluster`].
        template: the phrase that questions of one to four words are asked in, with ``{}`` for the question.
        loader: from a directory or Hub id to a dual encoder and its processor, called once there is something to
            embed; see [`load_model`].

    Raises:
        ImportError: if LanceDB, or Ray where it is asked for, is not installed.
        SearchError: if the directory is no index, is damaged, the text tower is of another model, or the template
            has no place for the question.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        text_tower: str | os.PathLike[str] | None = None,
        ray: str | None = None,
        template: str = SHORT_QUERY_TEMPLATE,
        loader: Callable[[str], tuple[Any, Any]] = load_model,
    ):
        self.template, self._loader = check_template(template), loader
        self._cluster = None
        if ray is not None:
            from .ray_cluster import RayCluster

            self._cluster = RayCluster(ray)
        try:
            self.store = Store(directory, engine=self._cluster)
        except StoreError as error:
            raise SearchError(str(error)) from error
        self.directory: Path | str = self.store.folder.path or self.store.folder.uri
        self._onnx = None
        if text_tower is not None:
            from ..evaluation.onnx_towers import OnnxTextTower

            self._onnx = OnnxTextTower(text_tower)
            if self._onnx.fingerprint != self.store.record["fingerprint"]:
                raise SearchError(
                    f"{text_tower}: is the text tower of another model than {directory} was made with "
                    f"({self.store.record['model']}); export that one."
                )

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        model: str,
        *,
        hop_seconds: float | None = None,
        exact_windows: int = EXACT_WINDOWS,
        ray: str | None = None,
        loader: Callable[[str], tuple[Any, Any]] = load_model,
    ) -> "SoundIndex":
        """
        Makes an empty index, or opens the one that is there.

        Args:
            directory: of the index.
            model: directory or Hub id of a dual encoder.
            hop_seconds: from one window's start to the next one's; a window if not given.
            exact_windows: up to so many windows (and files) questions are exact.
            ray, loader: as above.

        Raises:
            SearchError: if there is one of another model, window or hop.
        """
        built = loader(model)
        record = record_of(model, built, hop_seconds, exact_windows)
        folder = IndexFolder(directory)
        if not folder.exists(RECORD):
            if folder.path is not None and folder.path.is_dir() and any(folder.path.iterdir()):
                raise SearchError(f"{directory}: is a folder of something else; name a new or empty one.")
            try:
                Store.create(directory, record, built[0].config.projection_dim)
            except StoreError as error:
                raise SearchError(str(error)) from error
        index = cls(directory, ray=ray, loader=loader)
        check_record(directory, index.store.record, record)
        index.__dict__["_built"] = built
        return index

    @cached_property
    def _built(self) -> tuple[Any, Any]:
        built = self._loader(self.store.record["model"])
        if fingerprint_of(built) != self.store.record["fingerprint"]:
            raise SearchError(
                f"{self.store.record['model']}: has other weights than those that {self.directory} was made with; "
                "make the index anew."
            )
        return built

    def update(self, roots: Sequence[str | os.PathLike[str]], *, progress: bool = True) -> "IndexReport":
        """
        Brings the index up to date with folders; see [`update_index`].

        Raises:
            FileNotFoundError: for a root that does not exist.
            SearchError: if another process is writing the index, it cannot be written, or there is no sound.
        """
        from ..processing import supported_audio_extensions
        from .indexing import update_index
        from .metadata import read_descriptions
        from .walking import find_files

        extensions = supported_audio_extensions()
        files, faults = find_files(roots, extensions)
        try:
            if not files and not self.store.files():
                raise SearchError(
                    f"{', '.join(map(str, roots))}: no sound file ({', '.join(sorted(extensions))})."
                )
            descriptions, unread = read_descriptions((file.path, file.root) for file in files)
            with ExitStack() as stack:
                if self.store.folder.path is not None:
                    stack.enter_context(FileLock(self.store.folder.path / "index.lock", timeout=1))
                report = update_index(
                    self.store,
                    files,
                    [os.path.abspath(root) for root in roots],
                    self._embed_files,
                    descriptions=descriptions,
                    unseen=[path for path, _ in faults],
                    progress=progress,
                )
        except Timeout as error:
            raise SearchError(
                f"{self.directory}: another process is writing this index; wait for it."
            ) from error
        except StoreError as error:
            raise SearchError(str(error)) from error
        except OSError as error:
            raise SearchError(f"{self.directory}: cannot be written ({error.strerror or error}).") from error
        report.faults = faults + unread + report.faults
        self.__dict__.pop("_columns", None)
        self.__dict__.pop("_files", None)
        return report

    def _embed_files(self, paths: Iterator[str]) -> Iterator[tuple[str, Any]]:
        first = next(paths, None)
        if first is None:
            # The model is loaded once there is something to embed.
            return
        paths = chain([first], paths)
        hop = self.store.record["hop_seconds"]
        if self._cluster is not None:
            record = self.store.record
            yield from self._cluster.embed_files(list(paths), record["model"], record["fingerprint"], hop)
            return
        from .windows import embed_files

        yield from embed_files(*self._built, paths, hop_seconds=hop)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        """All rows in memory: windows, and files apart."""
        return read_columns(self.store.rows())

    @cached_property
    def _files(self) -> dict[str, np.ndarray]:
        """Path and tags of every file, without vectors."""
        if not self.store.approximate:
            return self._columns["files"]
        rows = self.store.file_rows(["path", "tags"]).sort_by("path")
        tags = np.empty(len(rows), dtype=object)
        for place, found in enumerate(rows.column("tags").to_pylist()):
            tags[place] = tuple(found)
        return {"path": np.array(rows.column("path").to_pylist(), dtype=object), "tags": tags}

    def __len__(self) -> int:
        """Number of files."""
        return len(self._files["path"])

    @property
    def tags(self) -> list[str]:
        """All tags that files have."""
        return sorted({tag for tags in self._files["tags"] for tag in tags})

    @property
    def licenses(self) -> list[str]:
        """All licenses that files have."""
        found = self.store.file_rows(["license"]).column("license").to_pylist()
        return sorted({license for license in found if license})

    def embed_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """
        Unit vectors ``(sentences, width)`` by the exported text tower, or the model's.

        Raises:
            SearchError: for a sentence without a word.
        """
        try:
            if self._onnx is not None:
                return self._onnx.embed(sentences)
            from ..evaluation.embedding import embed_captions

            model, processor = self._built
            processor.prepare_text(list(sentences))
            return embed_captions(model, processor, list(sentences))
        except ValueError as error:
            raise SearchError(str(error)) from error

    def _embed_queries(self, queries: Sequence[str]) -> np.ndarray:
        return self.embed_texts([phrase_query(query, self.template) for query in queries])

    @cached_property
    def background_vectors(self) -> np.ndarray:
        """Of the 48 common questions that scores are compared with, ``(48, width)``; see [`BACKGROUND_QUERIES`]."""
        return background_vectors(
            self.store.folder, self.store.record["width"], self.embed_texts, self.template
        )

    def search(
        self,
        query: str,
        *,
        top: int = 10,
        negative: Sequence[str] = (),
        names: bool = False,
        min_score: float | None = None,
        exact: bool = False,
        **filters: Any,
    ) -> list[Hit]:
        """
        The files that a sentence describes best, each at its best moment.

        Args:
            query: the sentence.
            top: answers at most.
            negative: sentences that should not fit; half of their cosine is taken off.
            names: rank by the words of file names and folders too, by reciprocal rank fusion.
            min_score: leave out what scores lower.
            exact: compare with every window even where there is an approximate index.
            filters: fields of [`Filters`]: ``glob`` (of the path), ``tag``, ``min_duration``, ``max_duration``
                (seconds), ``file``, ``license``, ``metadata``.

        Raises:
            SearchError: for an empty question or index, or an unknown filter.
        """
        kept = Filters.of(filters)
        vectors = self._embed_queries([query, *negative])
        options = {"top": top, "min_score": min_score, "name_query": query if names else None}
        return self._ranked(vectors[0], vectors[1:], kept, exact=exact, percentiles=True, **options)

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        start: float = 0.0,
        end: float | None = None,
        top: int = 10,
        min_score: float | None = None,
        exact: bool = False,
        **filters: Any,
    ) -> list[Hit]:
        """
        The files that sound most like one, or like a part of it; itself is left out.

        Args:
            path: any sound file, in the index or not.
            start, end: seconds of the part.
            top, min_score, exact, filters: as in [`search`].

        Raises:
            SearchError: if it cannot be read, or ``end`` is not behind ``start``.
        """
        if start < 0 or (end is not None and end <= start):
            raise SearchError(
                f"start={start:g}, end={end}: the part has to begin at 0 or later and end behind that."
            )
        kept = Filters.of(filters)
        vector = self._embed_sound(path, start, None if end is None else end - start).vector
        options = {"top": top + 1, "min_score": min_score, "name_query": None}
        hits = self._ranked(vector, [], kept, exact=exact, percentiles=False, **options)
        own = os.path.abspath(path)
        return [hit for hit in hits if hit.path != own][:top]

    def moments(
        self,
        path: str | os.PathLike[str],
        query: str,
        *,
        top: int = 5,
        hop_seconds: float | None = None,
        threshold: float = DEFAULT_THRESHOLD,
    ) -> list[Hit]:
        """
        Where in a recording a sentence fits, the best span first; overlapping windows that score alike are one.

        Args:
            path: any sound file, in the index or not; it is embedded anew.
            query: the sentence.
            top: spans at most.
            hop_seconds: between windows; half a window if not given.
            threshold: how much lower than its best window a span's windows may score.

        Raises:
            SearchError: for an empty question or a file that cannot be read.
        """
        vector = self._embed_queries([query])[0]
        hop = hop_seconds or self.store.record["window_seconds"] / 2
        found = self._embed_sound(path, 0.0, None, hop)
        return rank_spans(
            found, os.path.abspath(path), vector, self.background_vectors, top=top, threshold=threshold
        )

    def _embed_sound(
        self, path: str | os.PathLike[str], start: float, seconds: float | None, hop: float | None = None
    ) -> Any:
        from ..processing import AudioReadError
        from .windows import embed_windows

        model, processor = self._built
        hop = hop or self.store.record["window_seconds"]
        try:
            return embed_windows(model, processor, path, hop_seconds=hop, offset=start, duration=seconds)
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error

    def _ranked(
        self,
        vector: np.ndarray,
        unwanted: Sequence[np.ndarray],
        filters: Filters,
        *,
        exact: bool,
        percentiles: bool,
        **options: Any,
    ) -> list[Hit]:
        options["background"] = (lambda: self.background_vectors) if percentiles else None
        try:
            if not self.store.approximate:
                rows = self._columns["windows"]
                if not len(rows["path"]):
                    raise SearchError(
                        f"{self.directory}: the index is empty; bring it up to date with auricle index."
                    )
                return rank_rows(rows, vector, unwanted, filters, **options)
            return ask_table(
                self.store, lambda: self._files, vector, unwanted, filters, exact=exact, **options
            )
        except StoreError as error:
            raise SearchError(str(error)) from error

    def export(self, out: str | os.PathLike[str], *, hits: Sequence[Hit] | None = None) -> None:
        """
        Writes the index, or answers, to a file of the kind its ending names.

        Args:
            out: ``.parquet`` or ``.npz`` (all windows with vectors), ``.csv`` (files, or answers), ``.json``
                (answers), ``.m3u`` (a playlist of answers, or of all files).
            hits: answers; None is the whole index.

        Raises:
            SearchError: for another ending, or a kind that does not go with what is asked for.
        """
        if hits is not None:
            export_hits(Path(out), hits)
        else:
            export_index(Path(out), self.store)


def __getattr__(name: str) -> Any:
    # Importing the walk and the embedding brings torch, which asking by an exported text tower does without.
    if name == "IndexReport":
        from .indexing import IndexReport

        return IndexReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Hit", "SearchError", "SoundIndex"]
