"""An index of recordings: create, update, search, export."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders import AudioTextEncoder
from ..files.stored_paths import path_as_stored
from .encoder_settings import EncoderSettings
from .errors import SearchError
from .exports import export_hits, export_index
from .index_creation import check_record, check_settings, load_index_encoder, open_or_create
from .index_encoder import IndexEncoder
from .moments.finding import DEFAULT_THRESHOLD, Edges, find_moments
from .query.answering import answer
from .query.answers import DEFAULT_RANKING, Question, check_top
from .query.batch_answers import answer_many
from .query.empty_answers import OPTIONS, empty_because
from .query.filters import Filters
from .query.hits import Hit
from .query.index_contents import CurrentContents
from .query.known_vectors import known_vector
from .query.query_text import SHORT_QUERY_TEMPLATE, background_vectors, check_template, phrase_query
from .query.resolved_filters import checked_path, resolve_filters
from .query.unwanted_words import split_question
from .store.index_store import Store

if TYPE_CHECKING:
    from .update.indexing import IndexReport


class SoundIndex:
    """
    An index: a directory with the embeddings of files and of their windows, and the name of their model.

    Up to 250,000 windows (``exact_windows``) a query is one matrix product over embeddings in memory, and exact.
    Above, an approximate index on disk answers it.

    Args:
        directory: directory of an index that `SoundIndex.create` or `auricle index` made; or its URI in an object
            store.
        text_tower: directory of the index model's exported text tower (`auricle export --towers text`). Queries
            then run without torch.
        ray: address of a Ray cluster that embeds, indexes and searches; see [`ray_cluster.RayCluster`].
        template: prompt template for queries of one to four words, with ``{}`` for the query.
        model: new directory or Hub id of the index's model, if it was moved. It must have the same fingerprint; the
            index remembers it once it was loaded.
        trust_remote_code: run Python code of the model's repository, if the index's model needs it; not remembered.
        loader: function from a directory or Hub id, and options of `load_encoder`, to an encoder. It is called when
            there is something to embed; see [`load_index_encoder`].

    Raises:
        ImportError: if LanceDB is not installed, or Ray with ``ray``.
        SearchError: if the directory is not an index or is damaged, the text tower belongs to another model, or the
            template has no ``{}``.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        text_tower: str | os.PathLike[str] | None = None,
        ray: str | None = None,
        template: str = SHORT_QUERY_TEMPLATE,
        model: str | None = None,
        trust_remote_code: bool = False,
        loader: Callable[..., AudioTextEncoder] = load_index_encoder,
    ):
        self.template, self._cluster = check_template(template), None
        if ray is not None:
            from .ray_cluster import RayCluster

            self._cluster = RayCluster(ray)
        self._closed = False
        self.store = Store(directory, engine=self._cluster)
        self.directory: Path | str = self.store.folder.path or self.store.folder.uri
        self._contents = CurrentContents(self.store)
        self._encoder = IndexEncoder(
            directory,
            self.store.record,
            loader,
            text_tower=text_tower,
            model=model,
            remember=self.store.remember_model,
            trust_remote_code=trust_remote_code,
        )

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        model: str,
        *,
        hop_seconds: float | None = None,
        exact_windows: int | None = None,
        settings: EncoderSettings | None = None,
        trust_remote_code: bool = False,
        ray: str | None = None,
        loader: Callable[..., AudioTextEncoder] = load_index_encoder,
    ) -> "SoundIndex":
        """
        Creates an empty index, or opens an existing one.

        Args:
            directory: directory of the index.
            model: directory or Hub id of a dual encoder.
            hop_seconds: hop between windows, at most the length of a window, which is the default.
            exact_windows: number of windows up to which search is exact. Default: 250,000.
            settings: window, precision and width of the embeddings. Default: those of the index, or the model's.
            trust_remote_code: run Python code that the model's repository brings.
            ray, loader: as above.

        Raises:
            SearchError: if the index exists with another model, settings, hop or exact_windows, or cannot be
                created.
        """
        encoder, record = open_or_create(
            directory,
            model,
            loader,
            hop_seconds=hop_seconds,
            exact_windows=exact_windows,
            settings=settings,
            trust_remote_code=trust_remote_code,
        )
        index = cls(directory, ray=ray, trust_remote_code=trust_remote_code, loader=loader)
        check_record(directory, index.store.record, record)
        index._encoder.hold(encoder)
        index.store.remember_model(record["model"], encoder.revision)
        index.check_settings(exact_windows=exact_windows)
        return index

    def close(self) -> None:
        """Releases model, embeddings and files. A closed index cannot be searched."""
        self._closed = True
        self._contents.forget()
        self._encoder.close()
        self.store.close()

    def __enter__(self) -> "SoundIndex":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            state = "closed" if self._closed else f"{len(self):,} files"
        except SearchError:
            state = "cannot be read"
        return f"SoundIndex({str(self.directory)!r}: {state}, model {self.store.record['model']!r})"

    @property
    def missing_model(self) -> str:
        """A hint if the index's model is no longer at its path, or empty."""
        return self._encoder.missing

    def check_settings(
        self,
        *,
        hop_seconds: float | None = None,
        exact_windows: int | None = None,
        settings: EncoderSettings | None = None,
    ) -> None:
        """
        Compares settings with those of the index; None accepts any.

        Raises:
            SearchError: if one differs.
        """
        (settings or EncoderSettings()).completed_by(self.directory, self.store.record)
        wanted = {"hop_seconds": hop_seconds, "exact_windows": exact_windows}
        check_settings(self.directory, self.store.record, wanted)

    def update(
        self,
        roots: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        prune: bool = False,
        progress: bool | Callable[..., None] = True,
        check: Callable[[], None] | None = None,
    ) -> "IndexReport":
        """
        Updates the index from folders; see [`update_index`].

        Args:
            roots: folders or files, or one.
            prune: remove a folder's files even if the folder is missing or has no audio files left; otherwise they
                stay, since a disk may be disconnected.
            progress, check: show a bar, or call a function; ``check`` is called between files, and stops the update
                if it raises.

        Raises:
            FileNotFoundError: for a root that does not exist.
            SearchError: if another process is writing the index, it cannot be written, or there is no sound.
        """
        from .update.updating import update_from_folders

        roots = [roots] if isinstance(roots, str | os.PathLike) else roots
        report = update_from_folders(
            self.store,
            [path_as_stored(root) for root in roots],
            self._embed_files,
            prune=prune,
            progress=progress,
            hear=self._encoder.hear,
            write_frames=self._encoder.write_frames,
            check=check,
        )
        self._contents.forget()
        return report

    def _embed_files(self, paths: Iterator[str]) -> Iterator[tuple[str, Any]]:
        yield from self._encoder.embed_files(paths, self._cluster)

    def __len__(self) -> int:
        """Number of files."""
        return len(self._contents.get().files["path"])

    @property
    def tags(self) -> list[str]:
        """All tags that files have."""
        return sorted({tag for tags in self._contents.get().files["tags"] for tag in tags})

    @property
    def licenses(self) -> list[str]:
        """All licenses that files have."""
        return sorted(set(filter(None, self.store.file_rows(["license"]).column("license").to_pylist())))

    def embed_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Unit vectors ``(sentences, width)``; raises `SearchError` for a sentence without a word."""
        return self._encoder.embed_texts(sentences)

    def _embed_queries(self, queries: Sequence[str]) -> np.ndarray:
        return self.embed_texts([phrase_query(query, self.template) for query in queries])

    @cached_property
    def background_vectors(self) -> np.ndarray:
        """Of the 48 common queries that scores are compared with, ``(48, width)``; see [`BACKGROUND_QUERIES`]."""
        return background_vectors(
            self.store.folder, self.store.record["width"], self.embed_texts, self.template
        )

    def search(
        self,
        query: str,
        *,
        top: int = 10,
        negative: str | Sequence[str] = (),
        names: bool = False,
        min_score: float | None = None,
        rank: str = DEFAULT_RANKING,
        exact: bool = False,
        **filters: Any,
    ) -> list[Hit]:
        """
        The files that a sentence describes best, each at its best moment.

        Args:
            query: the sentence. ``-word`` and ``-"some words"`` in it are unwanted, see [`split_question`].
            top: maximum number of results.
            negative: one or more descriptions of unwanted sounds; half of their cosine is subtracted.
            names: also rank by the words of file names and folders (reciprocal rank fusion).
            min_score: minimum score: the cosine, less what is subtracted.
            rank: "window": by a file's best window; "clip": by the embedding of the whole file, as published metrics.
            exact: compare with every window, also in a large index.
            filters: fields of [`Filters`]: ``glob`` (of the path), ``tag``, ``min_duration``, ``max_duration``
                (seconds), ``file``, ``license``, ``metadata``.

        Raises:
            SearchError: for an empty query or index, or an unknown filter.
        """
        kept = Filters.of(filters)
        query, unwanted = split_question(query, negative)
        vectors = self._embed_queries([query, *unwanted])
        more = {"name_query": query if names else None, "background": lambda: self.background_vectors}
        question = Question(vectors[0], tuple(vectors[1:]), top=top, min_score=min_score, rank=rank, **more)
        return answer(self.store, self._contents, question, kept, exact=exact)

    def search_many(self, queries: Sequence[str], **options: Any) -> Iterator[list[Hit]]:
        """Results of many queries, in order, computed in batches; options of [`search`] and [`answer_many`]."""
        how = self._embed_queries, lambda: self.background_vectors
        return answer_many(self.store, self._contents, *how, queries, **options)

    def count(self, **filters: Any) -> int:
        """
        Number of files that pass the filters; without filters, of all files.

        Args:
            filters: as in [`search`].

        Raises:
            SearchError: for an unknown filter.
        """
        files = self._contents.get().files
        kept = resolve_filters(self.store, self._contents, Filters.of(filters))
        return int(kept.mask(files).sum())

    def why_empty(self, *, names: Mapping[str, str] = OPTIONS, **filters: Any) -> list[str]:
        """
        One sentence for each filter that no file passes, with similar values that the index has.

        Args:
            names, filters: name of each filter in the sentences; filters as in [`search`].
        """
        kept = resolve_filters(self.store, self._contents, Filters.of(filters))
        return empty_because(self._contents.get().files, kept, names)

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        start: float = 0.0,
        end: float | None = None,
        top: int = 10,
        min_score: float | None = None,
        rank: str | None = None,
        exact: bool = False,
        **filters: Any,
    ) -> list[Hit]:
        """
        The files that are most similar to a recording, or to a part of it, without the recording itself.

        A whole recording is compared with whole files: a copy scores 1 and comes first. A part is compared with
        windows.

        Args:
            path: any sound file. An unchanged file of the index, or one of its windows, is not embedded again.
            start, end: seconds of the part.
            rank: "clip" compares with whole files, "window" with windows, which also finds similar parts of long
                recordings. Default: as above.
            top, min_score, exact, filters: as in [`search`].

        Raises:
            SearchError: if it cannot be read, or ``end`` is not after ``start``.
        """
        check_top(top)
        end = None if end == math.inf else end
        if not (0 <= start < math.inf and (end is None or start < end)):
            raise SearchError(
                f"start {start:g} s, end {end} s: the part must begin at 0 or later and end after its start."
            )
        kept, own = Filters.of(filters), checked_path(self.store, self._contents, path)
        vector = known_vector(self.store, own, start, end)
        if vector is None:
            vector = self._encoder.embed_part(own, start, None if end is None else end - start).vector
        rank = rank or ("clip" if start == 0.0 and end is None else DEFAULT_RANKING)
        question = Question(vector, top=top + 1, min_score=min_score, rank=rank, same_length=rank == "clip")
        hits = answer(self.store, self._contents, question, kept, exact=exact)
        return [hit for hit in hits if hit.path != own][:top]

    def moments(
        self,
        path: str | os.PathLike[str],
        query: str,
        *,
        top: int = 5,
        hop_seconds: float | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        edges: Edges | None = None,
        min_percentile: float | None = None,
    ) -> list[Hit]:
        """
        The times in a recording that a sentence describes, best first; none if it fits nowhere.

        Args:
            path: any sound file, in the index or not; it is embedded in each call, unless the index keeps its frames.
            query: the sentence.
            top: maximum number of spans.
            hop_seconds, threshold, edges, min_percentile: see [`find_moments`]; by default short windows are compared
                where the model embeds them cheaply, and windows that overlap by half elsewhere.

        Raises:
            SearchError: for an empty query, a hop above a window, an unreadable file, or frames of a model that has
                none.
        """
        check_top(top)
        vector, own = self._embed_queries([query])[0], checked_path(self.store, self._contents, path)
        how = {"hop_seconds": hop_seconds, "threshold": threshold, "edges": edges}
        how["min_percentile"] = min_percentile
        return find_moments(self.store, self._encoder, own, vector, self.background_vectors, top=top, **how)

    def export(
        self, out: str | os.PathLike[str], *, hits: Sequence[Hit] | None = None, title: str = ""
    ) -> None:
        """
        Writes the index, or results, to a file. Its extension decides the format.

        Args:
            out: ``.parquet`` or ``.npz`` (windows with vectors), ``.csv`` or ``.m3u``; results: see [`export_hits`].
            hits, title: results, and their query; None: the whole index.

        Raises:
            SearchError: for another extension, or a format that does not fit the content.
        """
        if hits is not None:
            export_hits(Path(out), hits, title)
        else:
            export_index(Path(out), self.store)


def __getattr__(name: str) -> Any:
    if name == "IndexReport":
        from .update.indexing import IndexReport

        return IndexReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["EncoderSettings", "Hit", "SearchError", "SoundIndex"]
