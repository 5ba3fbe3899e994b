"""Lists what a chain needs before its first step, and how to get what is missing; downloads nothing."""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from ...data.fetching import CATALOG
from ..clusters.caption_clusters import ClusterError
from ..models.pretrained_text import PACKAGED_ENCODERS
from ..rows.synonyms import SynonymError, WordNet
from .chain_recipe import Chain, NeedSection, Run, field_value
from .estimates import Assumptions, format_seconds, need_seconds
from .plan import Step

# Needed by the banks, not by a system.
BANKS = "the banks"


@dataclass(frozen=True)
class Item:
    """
    One thing that a chain needs.

    Attributes:
        what: description.
        place: required path, or place of installation.
        size: in words.
        missing: description of the missing part; empty if nothing is missing.
        get: commands that bring it.
        notes: further remarks for the user, such as terms.
        wanted_by: systems that need it, and ``the banks`` of their teachers.
        is_required: whether the chain stops without it; a model of the Hub is downloaded at its first use.
        time: an estimate of how long it takes to get, in words; empty if nothing is known.
    """

    what: str
    place: str
    size: str
    missing: str
    get: tuple[str, ...]
    notes: tuple[str, ...]
    wanted_by: tuple[str, ...]
    is_required: bool = True
    time: str = ""


def shopping_list(
    chain: Chain, steps: Sequence[Step], data_dir: Path, assumptions: Assumptions | None = None
) -> list[Item]:
    """
    Everything that the steps need from outside, in the order in which it should be fetched.

    Only the presence of datasets' files is checked; their content is checked when a step loads them.

    Args:
        chain: the recipe of recipes.
        steps: steps of the plan.
        data_dir: where data, weights and augmentation files are or will be.
        assumptions: assumptions for the estimated times; None is the defaults.
    """
    assumptions = assumptions or Assumptions()
    runs = [step.run for step in steps if step.kind == "train" and step.run is not None]
    items = []
    banked = _places_in_banks(chain) if any(step.kind == "bank" for step in steps) else set()
    for need in chain.section.needs:
        wanted_by = dict.fromkeys(
            run.system
            for run in runs
            if (need.systems is None or run.system in need.systems)
            and (need.towers is None or run.tower in need.towers)
        )
        if need.path in banked:
            wanted_by[BANKS] = None
        if wanted_by:
            items.append(_item(need, tuple(wanted_by), data_dir, need_seconds(need, assumptions)))
    return [*items, *_models(chain, runs), *_packages(chain, runs)]


def _places_in_banks(chain: Chain) -> set[str]:
    """What the rows of teacher banks are read from: data and mixes of all systems that learn from them."""
    section = chain.section
    stages = [
        chain.stage(system, tower)
        for system in section.systems
        for tower in section.towers
        if chain.run(system, tower).teachers
    ]
    return {
        place
        for field, place in section.data.items()
        if (field.startswith("data.") or field == "augmentation.mixes")
        and any(field_value(stage, field) is not None for stage in stages)
    }


def missing_items(items: Sequence[Item]) -> list[Item]:
    """The items without which the chain cannot start."""
    return [item for item in items if item.missing and item.is_required]


def format_shopping_list(items: Sequence[Item]) -> list[str]:
    """The list as lines of text: missing items with their commands, then existing ones."""
    missing = [item for item in items if item.missing]
    lines = (
        [f"Missing: {len(missing)} of {len(items)} things", ""] if missing else ["Nothing is missing.", ""]
    )
    for number, item in enumerate(missing, start=1):
        lines.append(f"{number:>2}. {item.what} ({item.size}{f'; {item.time}' if item.time else ''})")
        lines.append(f"    for {', '.join(item.wanted_by)}; {item.missing}: {item.place}")
        lines += [f"    {note}" for note in item.notes]
        lines += [f"    $ {command}" for command in item.get]
        lines.append("")
    there = [item for item in items if not item.missing]
    if there:
        lines.append("Found:")
        lines += [f"    {item.what}: {item.place}" for item in there]
        lines.append("")
    return lines


def _item(need: NeedSection, wanted_by: tuple[str, ...], data_dir: Path, seconds: float | None) -> Item:
    place = data_dir / need.path
    names = {"{path}": shlex.quote(str(place)), "{data}": shlex.quote(str(data_dir))}
    terms = CATALOG[need.catalog].terms if need.catalog else ()
    return Item(
        need.what,
        str(place),
        _filled(need.size, names),
        _what_is_missing(place, need.holds),
        tuple(_filled(command, names) for command in need.get),
        (*terms, *need.notes),
        wanted_by,
        time=format_seconds(seconds) if seconds else "",
    )


def _what_is_missing(place: Path, holds: Sequence[str]) -> str:
    if not place.exists():
        return "not found"
    if place.is_dir() and not any(place.iterdir()):
        return "empty"
    # Publishers' archives unpack into folders of their own: a file counts wherever it is below.
    absent = [name for name in holds if not (place / name).exists() and not any(place.rglob(name))]
    return f"without {', '.join(absent)}" if absent else ""


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def _models(chain: Chain, runs: Sequence[Run]) -> Iterator[Item]:
    """Text encoders and other models that recipes name by their Hub ids."""
    wanted: dict[str, list[str]] = {}
    for run in runs:
        stage = chain.stage(run.system, run.tower)
        names = [stage.model.text.pretrained] if stage.starts_from == "pretrained" else []
        for name in (*names, stage.clusters.embed_with):
            if name and not name.startswith(("runs/", "/", ".")) and not os.path.isdir(name):
                wanted.setdefault(name, []).append(run.system)
    for name, systems in wanted.items():
        if name in PACKAGED_ENCODERS:
            continue
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
        yield Item(
            f"{name}, a model of the Hub",
            "the cache of huggingface_hub",
            "a few GB",
            "" if cached else "not in the cache",
            (f"hf download {shlex.quote(name)}",),
            ("Downloaded at its first use where the Hub can be reached.",),
            tuple(dict.fromkeys(systems)),
            is_required=False,
        )


def _packages(chain: Chain, runs: Sequence[Run]) -> Iterator[Item]:
    # The methods' own libraries are optional and slow to import.
    from ..clusters.cluster_methods import check_packages

    methods: dict[str, list[str]] = {}
    synonyms: list[str] = []
    for run in runs:
        stage = chain.stage(run.system, run.tower)
        fields = chain.section.fields
        if stage.clusters.is_on:
            methods.setdefault(fields.get("clusters.method", stage.clusters.method), []).append(run.system)
        if stage.augmentation.word_deletion and fields.get(
            "augmentation.synonyms", stage.augmentation.synonyms
        ):
            synonyms.append(run.system)
    for method, systems in methods.items():
        fault, get = "", ()
        try:
            check_packages(method)
        except ClusterError as error:
            text = str(error)
            fault = text.partition(":")[0]
            get = (text.partition(": ")[2].rstrip("."),)
        yield Item(
            f"packages of the clustering method {method}",
            "this Python environment",
            "some 100 MB",
            fault,
            get,
            (),
            tuple(dict.fromkeys(systems)),
        )
    if synonyms:
        fault, get = "", ()
        try:
            WordNet()
        except SynonymError as error:
            fault, get = "not found", (str(error),)
        yield Item(
            "WordNet, for synonyms",
            "its package or directory",
            "some 30 MB",
            fault,
            (),
            get,
            tuple(dict.fromkeys(synonyms)),
        )


__all__ = ["Item", "format_shopping_list", "missing_items", "shopping_list"]
