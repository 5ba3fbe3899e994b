"""An index on several machines: Ray embeds, builds and queries the approximate index; Lance stores the table."""

import json
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as arrow

from .errors import SearchError
from .store.vector_index import (
    BITS,
    COLUMN,
    KMEANS_ITERATIONS,
    NAME,
    PROBES,
    SAMPLE_A_CELL,
    LocalEngine,
    NearestQuery,
    can_be_quantized,
    forget_index,
    index_paths,
    is_indexed,
    partitions,
    refine,
    rows_wait,
)

FILES_A_TASK = 8
KNOCK_SECONDS = 10.0


class RayCluster:
    """
    An [`Engine`] on a Ray cluster.

    Every node has this package, the model and the sounds under the same paths, and reaches the index under the same
    path or URI (with the credentials of an object store in its own environment). Only the process in which this runs
    writes.

    Args:
        address: ``host:port`` of the cluster's head, or ``auto`` for the one this machine belongs to.

    Raises:
        ImportError: if Ray or lance-ray is not installed.
        SearchError: if there is no cluster at the address.
    """

    def __init__(self, address: str):
        try:
            import lance
            import lance_ray
            import ray
        except ImportError as error:
            raise ImportError("a Ray cluster needs Ray and lance-ray: pip install 'auricle[ray]'.") from error
        self._lance, self._lance_ray, self._local = lance, lance_ray, LocalEngine()
        if not ray.is_initialized():
            try:
                _knock(address)
                ray.init(address=address, logging_level="ERROR", log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError, OSError) as error:
                first = next(iter(str(error).strip().splitlines()), type(error).__name__)
                raise SearchError(
                    f"--ray {address}: cannot connect to a Ray cluster ({first[:200]})."
                ) from error
        resources = ray.cluster_resources()
        self.nodes = sum(node["Alive"] for node in ray.nodes())
        self.cpus, self.gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))

    def embed_files(
        self,
        paths: Sequence[str],
        model: str,
        fingerprint: str,
        *,
        hop_seconds: float,
        clip_vector: str,
        options: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """
        Embeds files on all nodes, with Ray Data.

        Args:
            paths: absolute, the same on every node.
            model: directory or Hub id, likewise.
            fingerprint: expected fingerprint of the model.
            hop_seconds: between windows.
            clip_vector: vector of whole files; see [`embed_recording`].
            options: options of [`load_encoder`].

        Yields:
            (path, `WindowVectors` or the error), as they are finished.
        """
        if not paths:
            return
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        # One CPU stays free for the tasks that feed the others; otherwise they wait for each other forever.
        workers = self.gpus or max(1, self.cpus - 1)
        tasks = max(1, -(-len(paths) // FILES_A_TASK))
        rows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=tasks).map(
            _FileEmbedder,
            fn_constructor_args=(model, fingerprint, hop_seconds, clip_vector, dict(options or {})),
            compute=ray.data.ActorPoolStrategy(min_size=min(workers, tasks), max_size=min(workers, tasks)),
            num_cpus=1,
            num_gpus=1 if self.gpus else 0,
        )
        for row in rows.iter_rows():
            yield row["path"], _unpacked(row)

    def refresh(self, table: Any, uri: str, versions_stay: timedelta, *, train: bool) -> None:
        """See [`Engine.refresh`]."""
        from lance.optimize import CompactionOptions

        if is_indexed(table) and not train:
            if rows_wait(table):
                self._lance_ray.optimize_indices(uri, indices=[NAME])
                table.checkout_latest()
            return
        forget_index(table)
        self._pool()
        rows = table.count_rows()
        # As many pieces as nodes: each node indexes, and later searches, its own.
        kind = {"index_type": "IVF_FLAT"}
        if can_be_quantized(table.schema.field(COLUMN).type.list_size):
            kind = {"index_type": "IVF_RQ", "num_bits": BITS}
        pieces = CompactionOptions(target_rows_per_fragment=max(1, rows // self.nodes))
        self._lance_ray.compact_files(uri, compaction_options=pieces, num_workers=self.nodes)
        self._lance_ray.create_index(
            uri,
            column=COLUMN,
            **kind,
            name=NAME,
            replace=True,
            num_workers=self.nodes,
            metric="cosine",
            num_partitions=partitions(rows),
            sample_rate=min(SAMPLE_A_CELL, rows // partitions(rows)),
            max_iters=KMEANS_ITERATIONS,
        )
        table.checkout_latest()
        index_paths(table)
        self._lance.dataset(uri).cleanup_old_versions(older_than=versions_stay)

    def nearest(self, table: Any, uri: str, query: NearestQuery) -> arrow.Table:
        """See [`Engine.nearest`]; an exact result is this process's own."""
        if query.exact:
            return self._local.nearest(table, uri, query)
        self._pool()
        found = self._lance_ray.vector_search(
            uri,
            nearest={
                "column": COLUMN,
                "q": np.asarray(query.vector, dtype=np.float32),
                "k": query.limit,
                "metric": "cosine",
                "nprobes": PROBES,
                "refine_factor": refine(query.limit),
            },
            index_name=NAME,
            columns=list(query.columns),
            filter=query.where,
            num_workers=self.nodes,
        )
        fields = [table.schema.field(name) for name in query.columns]
        return found.select(list(query.columns)).cast(arrow.schema(fields))

    def _pool(self) -> None:
        # A new pool for each call would start its processes again each time, which takes many seconds.
        self._lance_ray.init_global_pool(self.nodes)


def _knock(address: str) -> None:
    """Raises OSError where nothing listens; Ray itself would try for minutes."""
    host, separator, port = address.rpartition(":")
    if separator and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


class _FileEmbedder:
    """Lives in a worker: loads the model once."""

    def __init__(
        self, model: str, fingerprint: str, hop_seconds: float, clip_vector: str, options: dict[str, Any]
    ):
        from ..encoders import load_encoder

        self.encoder = load_encoder(model, **options)
        self.encoder.use_rounding_of(fingerprint)
        if self.encoder.fingerprint != fingerprint:
            raise SearchError(f"{model}: has other weights on this node than the index was made with.")
        self.options = {"hop_seconds": hop_seconds, "clip_vector": clip_vector}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from ..encoders.recordings.recording_windows import embed_recording
        from ..processing import AudioReadError, FileRemarks

        try:
            with FileRemarks() as remarks:
                found = embed_recording(self.encoder, row["path"], **self.options)
        except OSError as error:
            return _packed(row["path"], fault=error.strerror or str(error), unseen=True)
        except AudioReadError as error:
            return _packed(row["path"], fault=str(error))
        return _packed(
            row["path"],
            duration=found.duration,
            starts=found.starts.astype(np.float64).tobytes(),
            ends=found.ends.astype(np.float64).tobytes(),
            vectors=found.vectors.tobytes(),
            vector=found.vector.tobytes(),
            remarks=json.dumps(remarks.of(row["path"])),
        )


def _packed(path: str, **values: Any) -> dict[str, Any]:
    # Columns have fixed types, since tables of several workers are joined.
    empty = {
        "fault": "",
        "unseen": False,
        "duration": 0.0,
        "starts": b"",
        "ends": b"",
        "vectors": b"",
        "vector": b"",
        "remarks": "[]",
    }
    return {"path": path, **empty, **values}


def _unpacked(row: dict[str, Any]) -> Any:
    from ..encoders.recordings.recording_windows import WindowVectors
    from ..processing import AudioReadError

    if row["fault"]:
        return OSError(0, row["fault"]) if row["unseen"] else AudioReadError(row["fault"])
    vector = np.frombuffer(row["vector"], dtype=np.float32)
    return WindowVectors(
        np.frombuffer(row["starts"]),
        np.frombuffer(row["ends"]),
        np.frombuffer(row["vectors"], dtype=np.float32).reshape(-1, len(vector)),
        vector,
        row["duration"],
        tuple(json.loads(row["remarks"])),
    )


__all__ = ["RayCluster"]
