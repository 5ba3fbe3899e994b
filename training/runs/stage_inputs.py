"""The inputs of a stage, each with a fingerprint of its content, and their changes."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from datasets import Dataset

from ...data.augmentation.back_translation import FILE as BACK_TRANSLATIONS
from ...data.columns import arrow_column, values_of
from ...data.mixing import WEIGHT_COLUMN
from ...data.schema import AUDIO_FEATURE, unique_clips
from ...files.content_digests import ContentDigests
from ...files.replacing import replace_path
from ...files.saved_directories import read_json, write_json
from ..clusters.caption_clusters import LABELS
from ..models.model_files import model_files_fingerprint
from ..recipe.reading import Stage
from ..recipe.schema import RANDOM_WEIGHTS, EvaluationSection
from .model_places import INPUTS, MODEL_PLACES
from .run_directory import RunDirectory

SOUNDS = "sounds.parquet"
LEARNED_FROM = ("train", "validation")
# Inputs by role: path or name, fingerprint (None if unknown), and more.
Inputs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Differences:
    """
    Comparison of recorded inputs with the current ones.

    Attributes:
        changed: a phrase for each input with another content now.
        missing: inputs that cannot be found now and were not compared.
        unrecorded: those whose content was not recorded.
    """

    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)


def model_inputs(stage: Stage, run: RunDirectory, digests: ContentDigests) -> Inputs:
    """Models and files that a stage is made from: its start, teachers, clusters, augmentation."""

    def model(name: str) -> dict[str, Any]:
        place = str(run.model_dir(name)) if name in run.stage_names else name
        return {"source": name, "fingerprint": model_files_fingerprint(place, digests)}

    def file(directory: str, name: str) -> dict[str, Any]:
        return {"source": directory, "fingerprint": digests.of_file(Path(directory, name))}

    inputs: Inputs = {}
    if stage.starts_from != "pretrained":
        inputs[MODEL_PLACES["starts_from"]] = model(stage.starts_from)
    else:
        text, audio = stage.model.text, stage.model.audio
        for what, name in (
            (MODEL_PLACES["model.audio.pretrained"], audio.pretrained),
            (MODEL_PLACES["model.text.pretrained"], text.pretrained),
            (MODEL_PLACES["model.text.tokenizer"], text.tokenizer),
        ):
            if name and name != RANDOM_WEIGHTS:
                inputs[what] = model(name)
    if stage.distillation.is_on:
        for number, entry in enumerate(stage.distillation.teachers, start=1):
            # A bank counts by its vectors, a model by its files: both are files of a directory.
            inputs[f"teacher {number}"] = model(entry.source)
    if stage.clusters.is_on:
        if stage.clusters.labels:
            inputs[MODEL_PLACES["clusters.labels"]] = file(stage.clusters.labels, LABELS)
        else:
            inputs[MODEL_PLACES["clusters.embed_with"]] = model(stage.clusters.embed_with)
    augmentation = stage.augmentation
    if augmentation.is_on and augmentation.back_translated:
        inputs["the back-translations"] = file(augmentation.back_translated, BACK_TRANSLATIONS)
    return inputs


def data_inputs(
    splits: Mapping[str, Dataset],
    stage: Stage,
    evaluation: EvaluationSection,
    digests: ContentDigests,
    *,
    progress: bool = False,
) -> tuple[Inputs, dict[str, pa.Table]]:
    """Rows, sounds and labels that a stage learns from or is chosen by, and by split each clip's content."""
    source = ", ".join(stage.data.sources)
    inputs: Inputs = {}
    all_sounds: dict[str, pa.Table] = {}
    for name in LEARNED_FROM:
        if name not in splits:
            continue
        table = splits[name]
        columns = ["clip_id", stage.data.positive_column, WEIGHT_COLUMN]
        if name == "validation":
            columns = ["clip_id", evaluation.relevance_column]
        sounds = all_sounds[name] = sounds_of(table, digests, progress=progress)
        listed = zip(*map(values_of, sounds.columns), strict=True)
        known = not sounds["content"].null_count
        inputs[f"the rows of {name}"] = {
            "source": source,
            "rows": len(table),
            "fingerprint": rows_fingerprint(table),
        }
        inputs[f"the labels of {name}"] = {
            "source": source,
            "fingerprint": _hashed(
                [values_of(arrow_column(table, column)) for column in columns if column in table.column_names]
            ),
        }
        inputs[f"the sounds of {name}"] = {
            "source": source,
            "clips": len(sounds),
            "fingerprint": _hashed([listed]) if known else None,
        }
    return inputs, all_sounds


def rows_fingerprint(table: Dataset) -> str:
    """SHA-256 of ids and captions of all rows in their order."""
    digest = hashlib.sha256()
    columns = (values_of(arrow_column(table, name)) for name in ("row_id", "caption"))
    for row_id, caption in zip(*columns, strict=True):
        digest.update(f"{row_id}\0{caption}\n".encode())
    return digest.hexdigest()


def sounds_of(table: Dataset, digests: ContentDigests, *, progress: bool = False) -> pa.Table:
    """Clip, part of the file and SHA-256 of the file's content, a row a clip in the table's order."""
    clips = unique_clips(table.select_columns(["clip_id", "audio"]))
    audio = arrow_column(clips, "audio")
    path, offset, duration = (pc.struct_field(audio, name) for name in AUDIO_FEATURE)
    paths = path.to_pylist()
    contents = digests.of_files(paths, progress=progress)
    return pa.table(
        {
            "clip_id": arrow_column(clips, "clip_id"),
            "offset": offset,
            "duration": duration,
            "content": pa.array((contents[path] for path in paths), pa.string()),
        }
    )


def recorded_inputs(stage_dir: Path) -> Inputs | None:
    """A stage's recorded inputs; None if it started before inputs were recorded."""
    return read_json(stage_dir / INPUTS)


def record_inputs(stage_dir: Path, inputs: Inputs, sounds: Mapping[str, pa.Table]) -> None:
    """Writes a stage's inputs, with a digest of every clip, so that a change can be named."""
    stage_dir.mkdir(parents=True, exist_ok=True)
    tables = [
        table.append_column("split", pa.array([name] * len(table), pa.string()))
        for name, table in sounds.items()
    ]
    fresh = stage_dir / f".{SOUNDS}.{os.getpid()}"
    parquet.write_table(pa.concat_tables(tables), fresh)
    replace_path(fresh, stage_dir / SOUNDS)
    # Last: without it nothing is recorded.
    write_json(stage_dir / INPUTS, inputs)


def compare_inputs(
    recorded: Inputs,
    now: Inputs,
    stage_dir: Path | None = None,
    sounds: Mapping[str, pa.Table] | None = None,
) -> Differences:
    """
    Compares recorded inputs with the current ones by content; their paths do not matter.

    Args:
        recorded: as [`recorded_inputs`] gives them.
        now: current inputs; inputs that are missing there are not compared.
        stage_dir: directory of the record; with ``sounds`` the first clip that differs is named.
        sounds: by split, as [`data_inputs`] gives them.
    """
    found = Differences()
    for role, entry in now.items():
        before = recorded.get(role)
        if before is None:
            found.unrecorded.append(_named(role, entry))
        elif entry["fingerprint"] is None:
            found.missing.append(_named(role, entry))
        elif before["fingerprint"] is None:
            found.unrecorded.append(_named(role, entry))
        elif before["fingerprint"] != entry["fingerprint"]:
            found.changed.append(_told(role, before, entry, stage_dir, sounds or {}))
    return found


def _named(role: str, entry: Mapping[str, Any]) -> str:
    source = str(entry["source"])
    return role if role.endswith(LEARNED_FROM) else f"{role} ({source})"


def _told(
    role: str,
    before: Mapping[str, Any],
    entry: Mapping[str, Any],
    stage_dir: Path | None,
    sounds: Mapping[str, pa.Table],
) -> str:
    if "rows" in entry:
        return f"{role} ({before['rows']} then, {entry['rows']} now)"
    if "clips" in entry:
        other = _other_clips(stage_dir, role.rsplit(" ", 1)[-1], sounds)
        return f"{role} ({other})" if other else role
    named = _named(role, entry)
    then, now = (str(one["fingerprint"])[:15] for one in (before, entry))
    return f"{named}: {then} then, {now} now"


def _other_clips(stage_dir: Path | None, split: str, sounds: Mapping[str, pa.Table]) -> str | None:
    if stage_dir is None or split not in sounds or not (stage_dir / SOUNDS).is_file():
        return None
    recorded = parquet.read_table(stage_dir / SOUNDS).to_pylist()
    known = {row["clip_id"]: row["content"] for row in recorded if row["split"] == split}
    now = sounds[split].to_pylist()
    other = [row["clip_id"] for row in now if known.get(row["clip_id"]) != row["content"]]
    return f"{len(other)} of {len(now)} clips, such as {other[0]!r}" if other else None


def _hashed(columns: Iterable[Iterable[Any]]) -> str:
    """SHA-256 of JSON lines, each column ended by a zero byte."""
    digest = hashlib.sha256()
    for column in columns:
        for value in column:
            digest.update(f"{_as_json(value)}\n".encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _as_json(value: Any) -> str:
    """What `json.dumps` makes of a value; of texts and rows of them in a third of its time."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_json, value))}]"
    return "null" if value is None else json.dumps(value)


__all__ = [
    "Differences",
    "Inputs",
    "compare_inputs",
    "data_inputs",
    "model_inputs",
    "record_inputs",
    "recorded_inputs",
    "rows_fingerprint",
    "sounds_of",
]
