"""Description and speed of a system: the columns of a comparison that are not retrieval metrics."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ...encoders import AudioTextEncoder, EncoderError

SENTENCES_TIMED = 25


@dataclass(frozen=True)
class SystemFacts:
    """
    Facts about a system; None means unknown.

    Attributes:
        fingerprint: fingerprint of the model.
        revision: commit of a Hub repository.
        num_parameters: number of weights that embeddings depend on; for an ensemble the sum over its members.
        license: as the model's card names it; for an ensemble those of all members, comma separated.
        precision: precision of the weights.
        window_seconds: length of windows; None also if members differ.
        embedding_dim: width of the vectors; for an ensemble the sum over members.
        clips_per_second: whole clips from file to vector.
        query_milliseconds: one sentence to its vector.
    """

    fingerprint: str | None = None
    revision: str | None = None
    num_parameters: int | None = None
    license: str | None = None
    precision: str | None = None
    window_seconds: float | None = None
    embedding_dim: int | None = None
    clips_per_second: float | None = None
    query_milliseconds: float | None = None

    def as_record(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)


def facts_of_encoder(encoder: AudioTextEncoder) -> SystemFacts:
    """
    An encoder's facts; its speed is measured by [`with_speed`].

    Raises:
        EncoderError: if the encoder lacks a tower.
    """
    try:
        fingerprint = encoder.fingerprint
    except EncoderError:
        fingerprint = None
    return SystemFacts(
        fingerprint=fingerprint,
        revision=encoder.revision,
        num_parameters=encoder.num_parameters,
        license=encoder.license,
        precision=encoder.precision,
        window_seconds=encoder.window_seconds,
        embedding_dim=encoder.embedding_dim,
    )


def facts_of_ensemble(members: Sequence[SystemFacts]) -> SystemFacts:
    """
    Facts of an ensemble that runs its members one after another.

    Numbers of parameters, widths, query times and times per clip add up. If a value of a member is unknown,
    the ensemble's value is unknown.
    """

    def total(name: str) -> Any:
        values = [getattr(member, name) for member in members]
        return None if None in values else sum(values)

    def shared(name: str) -> Any:
        values = {getattr(member, name) for member in members}
        return values.pop() if len(values) == 1 else None

    def joined(name: str) -> str | None:
        values = [getattr(member, name) for member in members]
        return None if None in values else ", ".join(dict.fromkeys(values))

    rates = [member.clips_per_second for member in members]
    return SystemFacts(
        num_parameters=total("num_parameters"),
        license=joined("license"),
        precision=joined("precision"),
        window_seconds=shared("window_seconds"),
        embedding_dim=total("embedding_dim"),
        clips_per_second=None if None in rates else 1 / sum(1 / rate for rate in rates),
        query_milliseconds=total("query_milliseconds"),
    )


def with_speed(
    facts: SystemFacts,
    encoder: AudioTextEncoder,
    clips: Sequence[Any],
    sentences: Sequence[str],
    *,
    batch_size: int,
) -> SystemFacts:
    """
    Facts with the encoder's speed, in wall-clock time, on the encoder's own device.

    Clips a second: the clips are embedded at once, from file to vector. Query milliseconds: the median over at most
    25 sentences, one at a time. A first clip and sentence are not counted.

    Args:
        facts: facts about the encoder.
        encoder: loaded.
        clips: readable clips; empty measures nothing.
        sentences: distinct ones.
        batch_size: windows at a time.
    """
    if not clips or not sentences:
        return facts
    encoder.embed_clips(clips[:1], batch_size=batch_size)
    encoder.embed_texts(sentences[:1])
    start = time.perf_counter()
    encoder.embed_clips(clips, batch_size=batch_size)
    seconds = time.perf_counter() - start
    times = []
    for sentence in spread(sentences, SENTENCES_TIMED):
        start = time.perf_counter()
        encoder.embed_texts([sentence])
        times.append(time.perf_counter() - start)
    return replace(
        facts,
        clips_per_second=len(clips) / max(seconds, 1e-9),
        query_milliseconds=1000 * statistics.median(times),
    )


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` items, evenly spaced over all of them, in their order."""
    number = min(count, len(items))
    return [items[place * len(items) // number] for place in range(number)]


def describe_machine() -> dict[str, Any]:
    """Processor, cores, torch's threads and graphics card of this machine; two machines of one kind look the same."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        name = names[0] if names else name
    return {
        "cpu": name,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


__all__ = [
    "SystemFacts",
    "describe_machine",
    "facts_of_encoder",
    "facts_of_ensemble",
    "spread",
    "with_speed",
]
