"""An index of one's own sounds: made, brought up to date, asked."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from .columns import kept_rows, read_columns
from .exports import export_hits, export_index
from .hits import Hit, SearchError
from .ranking import (
    BACKGROUND_QUERIES,
    combine_scores,
    fuse_ranks,
    merge_spans,
    name_scores,
    percentile_of,
)
from .store import Store, StoreError

if TYPE_CHECKING:
    from .indexing import IndexReport

RECORDED = ("model", "fingerprint", "window_seconds", "hop_seconds")
DEFAULT_THRESHOLD = 0.07


class SoundIndex:
    """
    A folder with the vectors of files and of their windows, and the model that made them.

    Up to some hundred thousand windows a question is one matrix product over vectors held in memory: exact.

    Args:
        directory: of an index that `SoundIndex.create` or `auricle index` made.
        text_tower: directory of an exported text tower (`auricle export --towers text`), which answers without
            loading torch; it has to be of the index's model.

    Raises:
        ImportError: if LanceDB is not installed.
        SearchError: if the directory is no index, is damaged, or the text tower is of another model.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, text_tower: str | os.PathLike[str] | None = None
    ):
        try:
            self.store = Store(directory)
        except StoreError as error:
            raise SearchError(str(error)) from error
        self.directory = self.store.directory
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
        cls, directory: str | os.PathLike[str], model: str, *, hop_seconds: float | None = None
    ) -> "SoundIndex":
        """
        Makes an empty index, or opens the one that is there.

        Args:
            directory: of the index.
            model: directory or Hub id of a dual encoder.
            hop_seconds: from one window's start to the next one's; a window if not given.

        Raises:
            SearchError: if there is one of another model, window or hop.
        """
        built = _load(model)
        extractor = built[1].feature_extractor
        record = {
            "model": os.path.abspath(model) if os.path.isdir(model) else model,
            "fingerprint": _fingerprint(built),
            "window_seconds": extractor.segment_seconds,
            "hop_seconds": hop_seconds or extractor.segment_seconds,
        }
        path = Path(directory)
        if not (path / "index.json").is_file():
            if path.is_dir() and any(path.iterdir()):
                raise SearchError(f"{directory}: is a folder of something else; name a new or empty one.")
            try:
                Store.create(path, record, built[0].config.projection_dim)
            except StoreError as error:
                raise SearchError(str(error)) from error
        index = cls(path)
        for name in ("fingerprint", "window_seconds", "hop_seconds"):
            if index.store.record[name] != record[name]:
                raise SearchError(
                    f"{directory}: was made with another {name.replace('_', ' ')} ({index.store.record[name]}, "
                    f"model {index.store.record['model']}; now {record[name]}). Vectors of two kinds cannot "
                    "be compared: name another --index."
                )
        index.__dict__["_built"] = built
        return index

    @cached_property
    def _built(self) -> tuple[Any, Any]:
        built = _load(self.store.record["model"])
        if _fingerprint(built) != self.store.record["fingerprint"]:
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
        from .walking import find_files

        files, faults = find_files(roots, supported_audio_extensions())
        absolute = [os.path.abspath(root) for root in roots]
        if not files and not self.store.files():
            raise SearchError(f"{', '.join(map(str, roots))}: no sound file (.wav, .flac, .ogg, .mp3).")

        def embed(path: str) -> Any:
            from .windows import embed_windows

            model, processor = self._built
            return embed_windows(model, processor, path, hop_seconds=self.store.record["hop_seconds"])

        try:
            with FileLock(self.directory / "index.lock", timeout=1):
                report = update_index(
                    self.store,
                    files,
                    absolute,
                    embed,
                    unseen=[path for path, _ in faults],
                    progress=progress,
                )
        except Timeout as error:
            raise SearchError(
                f"{self.directory}: another process is writing this index; wait for it."
            ) from error
        except StoreError as error:
            raise SearchError(str(error)) from error
        report.faults = faults + report.faults
        self.__dict__.pop("_columns", None)
        return report

    @cached_property
    def _columns(self) -> dict[str, Any]:
        """All rows in memory: windows, and files apart."""
        return read_columns(self.store.rows())

    def __len__(self) -> int:
        """Number of files."""
        return len(self._columns["files"]["path"])

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

    @cached_property
    def _background(self) -> np.ndarray:
        """Vectors of common questions; kept beside the table, since they take longer than a question."""
        digest = hashlib.sha256("\n".join(BACKGROUND_QUERIES).encode()).hexdigest()[:8]
        path = self.directory / f"background-{digest}.npy"
        if path.is_file():
            kept = np.load(path, allow_pickle=False)
            if kept.shape == (len(BACKGROUND_QUERIES), self.store.record["width"]):
                return kept
        vectors = self.embed_texts(BACKGROUND_QUERIES)
        # An index on a read-only disk can be asked all the same.
        with suppress(OSError):
            np.save(path, vectors)
        return vectors

    def search(
        self,
        query: str,
        *,
        top: int = 10,
        negative: Sequence[str] = (),
        names: bool = False,
        min_score: float | None = None,
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
            filters: ``glob`` (of the path), ``tag``, ``min_duration``, ``max_duration`` (seconds), ``file``.

        Raises:
            SearchError: for an empty question or index, or an unknown filter.
        """
        vectors = self.embed_texts([query, *negative])
        return self._ranked(
            vectors[0], vectors[1:], top, min_score, filters, query=query if names else None, background=True
        )

    def similar(
        self,
        path: str | os.PathLike[str],
        *,
        start: float = 0.0,
        end: float | None = None,
        top: int = 10,
        min_score: float | None = None,
        **filters: Any,
    ) -> list[Hit]:
        """
        The files that sound most like one, or like a part of it; itself is left out.

        Args:
            path: any sound file, in the index or not.
            start, end: seconds of the part.
            top, min_score, filters: as in [`search`].

        Raises:
            SearchError: if it cannot be read, or ``end`` is not behind ``start``.
        """
        if start < 0 or (end is not None and end <= start):
            raise SearchError(
                f"start={start:g}, end={end}: the part has to begin at 0 or later and end behind that."
            )
        vector = self._embed_sound(path, start, None if end is None else end - start).vector
        hits = self._ranked(vector, [], top + 1, min_score, filters, query=None, background=False)
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
        vector = self.embed_texts([query])[0]
        hop = hop_seconds or self.store.record["window_seconds"] / 2
        found = self._embed_sound(path, 0.0, None, hop)
        cosines = found.vectors @ vector
        spans = merge_spans(found.starts, found.ends, cosines, top=top, threshold=threshold)
        others = found.vectors @ self._background.T
        hits = []
        for start, end, score in spans:
            best = int(np.argmax(np.where((found.starts >= start) & (found.ends <= end), cosines, -np.inf)))
            percentile = percentile_of(score, others[best])
            hits.append(Hit(os.path.abspath(path), start, end, score, score, percentile, found.duration, ()))
        return hits

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
        top: int,
        min_score: float | None,
        filters: dict[str, Any],
        *,
        query: str | None,
        background: bool,
    ) -> list[Hit]:
        rows = self._columns["windows"]
        if not len(rows["path"]):
            raise SearchError(
                f"{self.directory}: the index is empty; bring it up to date with auricle index."
            )
        cosines = rows["vector"] @ vector
        scores = combine_scores(cosines, [rows["vector"] @ other for other in unwanted]).astype(np.float64)
        if query is not None:
            paths = rows["path"].tolist()
            labels = [
                " ".join((*tags, Path(path).stem)) for path, tags in zip(paths, rows["tags"], strict=True)
            ]
            scores = fuse_ranks([scores, name_scores(query, labels)])
        scores = np.where(kept_rows(rows, filters), scores, -np.inf)
        order = np.argsort(-scores, kind="stable")
        hits, seen = [], set()
        for place in order:
            path = rows["path"][place]
            if not np.isfinite(scores[place]) or len(hits) == top:
                break
            if path in seen or (min_score is not None and scores[place] < min_score):
                continue
            seen.add(path)
            percentile = None
            if background:
                percentile = percentile_of(float(cosines[place]), self._background @ rows["vector"][place])
            hits.append(
                Hit(
                    path=path,
                    start=float(rows["start"][place]),
                    end=float(rows["end"][place]),
                    score=float(scores[place]),
                    cosine=float(cosines[place]),
                    percentile=percentile,
                    duration=float(rows["duration"][place]),
                    tags=rows["tags"][place],
                )
            )
        return hits

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
            export_index(Path(out), self.store, self._columns)


def _load(model: str) -> tuple[Any, Any]:
    import torch

    from ..evaluation.model_loading import load_pretrained

    try:
        built = load_pretrained(model)
    except ValueError as error:
        raise SearchError(str(error)) from error
    built[0].to("cuda" if torch.cuda.is_available() else "cpu")
    return built


def _fingerprint(built: tuple[Any, Any]) -> str:
    from ..training.model_fingerprint import model_fingerprint

    return model_fingerprint(*built)


def __getattr__(name: str) -> Any:
    # Importing the walk and the embedding brings torch, which asking by an exported text tower does without.
    if name == "IndexReport":
        from .indexing import IndexReport

        return IndexReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Hit", "SearchError", "SoundIndex"]
