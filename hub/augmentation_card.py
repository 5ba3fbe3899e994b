"""An augmentation job as a dataset on the Hub: one table, one record, one card."""

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import yaml
from jinja2 import Environment, StrictUndefined

from ..data.augmentation.back_translation import FILE as CAPTIONS
from ..data.augmentation.caption_mixing import METADATA
from .publishing import Publication, PublishError, check_repo_id

TEMPLATE = "augmentation_card.md"
MIXES = "mixes.parquet"
JOB = "job.json"
# `file_name` names a file of this machine's folder; the sounds stay here.
_NOT_PUBLISHED = ("file_name",)
_IN_CARD = (
    "task",
    "data_set",
    "split",
    "backend",
    "prompt",
    "items",
    "kept",
    "faults",
    "rule_based",
    "similarity",
)


def collect_augmentation(directory: str | os.PathLike[str], repo_id: str) -> Publication:
    """
    The published files of a finished job: the table, the record and the card.

    Audio is not published: it can be rendered again from the sources, whose licences may not allow sharing. Unused
    answers and paths are not published either.

    Args:
        directory: output directory of `auricle augment`.
        repo_id: ``owner/name``, for the card's title.

    Raises:
        PublishError: if the job is not finished or a repository cannot have this name.
    """
    directory = Path(directory)
    check_repo_id(repo_id)
    if not (directory / JOB).is_file():
        raise PublishError(
            f"{directory}: no {JOB} found; this is not the directory of a finished job of `auricle augment`."
        )
    job = json.loads((directory / JOB).read_text(encoding="utf-8"))
    # A directory of this machine means nothing to others; its name does.
    job["data_set"] = _without_directories(job["data_set"])
    job["backend"] = {name: _without_directories(value) for name, value in job["backend"].items()}
    if (directory / CAPTIONS).is_file():
        name, table = CAPTIONS, parquet.read_table(directory / CAPTIONS)
    elif (directory / METADATA).is_file():
        lines = (directory / METADATA).read_text(encoding="utf-8").splitlines()
        rows = [
            {
                key: _without_directories(value)
                for key, value in json.loads(line).items()
                if key not in _NOT_PUBLISHED
            }
            for line in lines
        ]
        name, table = MIXES, arrow.Table.from_pylist(rows)
    else:
        raise PublishError(f"{directory}: neither {CAPTIONS} nor {METADATA} found; run the job to its end.")
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink)
    licenses = sorted(set(table.column("license").to_pylist())) if "license" in table.column_names else []
    files: dict[str, Path | bytes] = {
        name: sink.getvalue().to_pybytes(),
        JOB: json.dumps(job, indent=2, ensure_ascii=False).encode(),
        "README.md": _card(job, name, table.num_rows, licenses, repo_id).encode(),
    }
    return Publication(repo_id, files)


def _card(job: dict[str, Any], table: str, rows: int, licenses: list[str], repo_id: str) -> str:
    data = {
        "language": ["en"],
        "task_categories": ["text-retrieval"],
        "tags": ["audio", "language-based-audio-retrieval", "auricle", job["task"]],
        "pretty_name": repo_id.split("/")[-1],
        "configs": [{"config_name": "default", "data_files": table}],
        "size_categories": [_size_category(rows)],
    }
    if job["rule_based"]:
        data["tags"].append("rule-based")
    template = (resources.files("auricle.model_cards") / TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    settings = {name: value for name, value in job.items() if name not in (*_IN_CARD, "format", "version")}
    backend = job["backend"]
    return environment.from_string(template).render(
        card_data=yaml.safe_dump(data, sort_keys=False).strip(),
        name=repo_id.split("/")[-1],
        settings={**settings, **backend},
        model=backend.get("model") or backend["backend"],
        licenses=licenses,
        similarity=job.get("similarity"),
        **{
            name: job[name]
            for name in ("task", "data_set", "split", "prompt", "items", "kept", "faults", "rule_based")
        },
    )


def _size_category(rows: int) -> str:
    for most, name in (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    ):
        if rows < most:
            return name
    return "1M<n<10M"


def _without_directories(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith(("/", "~", ".")) or "\\" in value):
        return value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return value


__all__ = ["collect_augmentation"]
