"""Compares systems on one split: evaluates each or reuses stored results, and builds one report."""

import gc
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from ...encoders import AudioTextEncoder, load_encoder
from ..ensembles.ensemble import Ensemble, EnsembleError
from ..protocol import TEXT_TO_AUDIO, has_all_parts, split_values, summarize_values
from ..similarities import Similarities, SimilarityError, compute_similarities, weighted_sum
from .compared_split import ComparedSplit, digest_of_split, find_unreadable, without_clips
from .kept_results import KeptResults, Values, key_of_encoder, key_of_ensemble, key_of_similarities
from .system_facts import (
    SystemFacts,
    describe_machine,
    facts_of_encoder,
    facts_of_ensemble,
    spread,
    with_speed,
)
from .systems import System, check_reference

FORMAT, VERSION = "auricle comparison", 1
# Looking for garbage takes a third of a second; what a model with fewer parameters leaves is not worth it.
SMALL_MODEL = 10_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparisonOptions:
    """
    Settings of a comparison.

    Attributes:
        reference: the system for differences: ``first``, ``best`` (by the ranking metric) or a system's name.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.
        batch_size: windows, or captions, at a time.
        speed_clips: number of clips for measuring speed; 0 does not measure it.
        progress: show progress bars.
    """

    reference: str = "first"
    resamples: int = 1000
    seed: int = 0
    batch_size: int = 32
    speed_clips: int = 16
    progress: bool = False


@dataclass(eq=False)
class _Outcome:
    """One system: its description, and its values or the reason why there are none."""

    system: System
    facts: SystemFacts = field(default_factory=SystemFacts)
    members: list[dict[str, Any]] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    kept: bool = False
    values: Values | None = None
    error: str | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    """One model's or one saved matrix's share in a system."""

    key: str | None
    similarities: Similarities
    facts: SystemFacts
    kept: bool


def prepare_split(
    table: Dataset, cache_dir: str | os.PathLike[str], *, fresh: bool = False, progress: bool = False
) -> tuple[ComparedSplit, KeptResults]:
    """
    Reads a split's files once, for its digest and its unreadable clips, which are skipped.

    Args:
        table: one split of the schema.
        cache_dir: directory of stored results.
        fresh: ignore stored results.
        progress: show progress bars.

    Raises:
        SimilarityError: if the table is empty.
        DataError: if no clip can be read.
    """
    if not len(table):
        raise SimilarityError("the split has no rows to evaluate.")
    digest = digest_of_split(table, progress=progress)
    kept = KeptResults(cache_dir, digest, fresh=fresh)
    unreadable = kept.unreadable()
    if unreadable is None:
        unreadable = find_unreadable(table, progress=progress)
        about = {"source": table["source"][0], "split": table["split"][0], "rows": len(table)}
        kept.keep_unreadable(unreadable, about)
    readable = without_clips(table, {clip for clip, _ in unreadable})
    return ComparedSplit(readable, digest, tuple(unreadable)), kept


def compare_systems(
    systems: Sequence[System],
    split: ComparedSplit,
    kept: KeptResults,
    options: ComparisonOptions | None = None,
    *,
    load: Callable[[str], AudioTextEncoder] = load_encoder,
    announce: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """
    Evaluates every system on one split and compares them.

    If a system fails, the error is reported in its row and the others continue. Models are loaded one after another.
    Stored values are used if the model under the name has the same fingerprint now; its speed is measured in this call.

    Args:
        systems: at least one, with different names.
        split: the split.
        kept: stored similarities and figures of finished systems.
        options: see [`ComparisonOptions`].
        load: loads the encoder for a model's location.
        announce: called with one line when a system starts and ends.

    Returns:
        A mapping of numbers, texts and lists that can be written as JSON (docs/evaluation.md).

    Raises:
        ComparisonError: if the reference is not a system.
    """
    options = options or ComparisonOptions()
    check_reference(options.reference, systems)
    run = _Comparison(split, kept, options, load)
    outcomes = []
    for number, system in enumerate(systems, start=1):
        announce(f"[{number}/{len(systems)}] {system.name}")
        outcome = run.evaluate(system)
        outcomes.append(outcome)
        if outcome.error is not None:
            announce(f"  failed: {outcome.error}")
        elif outcome.kept:
            announce("  similarities taken from the cache")
    ranked_by = ("multi" if split.relevant is not None else "single", TEXT_TO_AUDIO)
    reference = _reference(outcomes, options.reference, ranked_by)
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": split.source,
        "split": split.split,
        "digest": split.digest,
        "clips": len(split.clips),
        "queries": len(split.table),
        "unreadable": [{"clip_id": clip, "reason": reason} for clip, reason in split.unreadable],
        "resamples": options.resamples,
        "seed": options.seed,
        "ranked_by": f"{ranked_by[0]} {ranked_by[1]} mAP@16",
        "reference": {
            "choice": options.reference,
            "name": None if reference is None else reference.system.name,
        },
        "machine": describe_machine(),
        "speed_clips": min(options.speed_clips, len(split.clips)),
        "systems": [_record(outcome, reference, options) for outcome in outcomes],
    }


class _Comparison:
    """One call's state: every model is loaded at most once, also as a member of several ensembles."""

    def __init__(
        self,
        split: ComparedSplit,
        kept: KeptResults,
        options: ComparisonOptions,
        load: Callable[[str], AudioTextEncoder],
    ):
        self.split, self.kept, self.options, self._load = split, kept, options, load
        # By location the key and the facts of models of this call; similarities are read again from the cache.
        self._known: dict[str, tuple[str, SystemFacts]] = {}

    def evaluate(self, system: System) -> _Outcome:
        outcome = _Outcome(system)
        try:
            self._fill(outcome)
        # Any class of error may come out of a model's own code, and the other systems must not be lost.
        except Exception as error:
            logger.debug("%s failed", system.name, exc_info=True)
            outcome.error = _one_line(error)
        if outcome.error is not None:
            _release_memory()
        return outcome

    def _fill(self, outcome: _Outcome) -> None:
        system = outcome.system
        if system.kind != "ensemble":
            part = self._part(system.location, system.name)
            outcome.facts, key, whole = part.facts, part.key, part.similarities
            kept = part.kept
        else:
            if not Path(system.location).is_file():
                raise EnsembleError(f"{system.location}: ensemble file not found.")
            members = Ensemble.load(system.location).used
            parts = []
            for member in members:
                try:
                    parts.append(self._part(member.model, member.name))
                except Exception as error:
                    raise EnsembleError(f"member {member.name!r}: {_one_line(error)}") from error
            weights = [member.weight for member in members]
            whole = weighted_sum([part.similarities for part in parts], weights, system.name)
            key = key_of_ensemble([part.key for part in parts], weights)
            outcome.facts = facts_of_ensemble([part.facts for part in parts])
            outcome.members = [
                {
                    "name": member.name,
                    "location": member.model,
                    "weight": member.weight,
                    **part.facts.as_record(),
                }
                for member, part in zip(members, parts, strict=True)
            ]
            kept = all(part.kept for part in parts)
        outcome.origin = whole.origin
        values = self.kept.values(key, self.split.relevance_digest)
        outcome.kept = kept
        if values is None or not has_all_parts(values, whole, self.split.relevant):
            values = split_values(whole, self.split.relevant)
            self.kept.keep_values(key, self.split.relevance_digest, values)
        outcome.values = values

    def _part(self, location: str, name: str) -> _Part:
        if Similarities.is_one(location):
            saved = Similarities.load(location)
            self.split.check_pairs(saved)
            return _Part(key_of_similarities(saved), saved, SystemFacts(), True)
        if location in self._known:
            key, facts = self._known[location]
            similarities = self.kept.similarities(key, name)
            if similarities is not None:
                return _Part(key, similarities, facts, True)
        encoder = self._load(location)
        key = key_of_encoder(encoder)
        facts = facts_of_encoder(encoder)
        similarities = self.kept.similarities(key, name)
        kept = similarities is not None
        if similarities is None:
            options = self.options
            similarities = compute_similarities(
                encoder,
                self.split.table,
                name=name,
                batch_size=options.batch_size,
                progress=options.progress,
            )
            self.kept.keep_similarities(key, similarities)
        self.split.check_pairs(similarities)
        facts = self._timed(facts, encoder)
        if key is not None:
            self._known[location] = (key, facts)
        del encoder
        if (facts.num_parameters or SMALL_MODEL) >= SMALL_MODEL:
            _release_memory()
        return _Part(key, similarities, facts, kept)

    def _timed(self, facts: SystemFacts, encoder: AudioTextEncoder) -> SystemFacts:
        clips = spread(list(self.split.clips["audio"]), self.options.speed_clips)
        sentences = list(dict.fromkeys(self.split.queries))
        return with_speed(facts, encoder, clips, sentences, batch_size=self.options.batch_size)


def _release_memory() -> None:
    """Frees the last model before the next one is loaded, also from reference cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _reference(outcomes: Sequence[_Outcome], choice: str, part: tuple[str, str]) -> _Outcome | None:
    """The system that the others are compared with; None if it failed."""
    if choice == "best":
        finished = [outcome for outcome in outcomes if outcome.values is not None]
        # Of equally good ones the first.
        return max(finished, key=lambda one: float(one.values[part]["mAP@16"].mean()), default=None)
    named = {outcome.system.name: outcome for outcome in outcomes}
    chosen = named[choice] if choice in named else outcomes[0]
    return chosen if chosen.values is not None else None


def _record(outcome: _Outcome, reference: _Outcome | None, options: ComparisonOptions) -> dict[str, Any]:
    record = {
        "name": outcome.system.name,
        "location": outcome.system.location,
        "kind": outcome.system.kind,
        "error": outcome.error,
        "from_cache": outcome.kept,
        **outcome.facts.as_record(),
        "members": outcome.members,
        "origin": outcome.origin,
    }
    if outcome.values is not None:
        against = None if reference is None or reference is outcome else reference.values
        record |= summarize_values(outcome.values, against, resamples=options.resamples, seed=options.seed)
    return record


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    known = isinstance(error, ValueError | OSError | ImportError)
    return text if known or text == type(error).__name__ else f"{type(error).__name__}: {text}"


__all__ = ["ComparisonOptions", "compare_systems", "prepare_split"]
