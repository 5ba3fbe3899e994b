"""A run's captions as a dataset on the Hub: ids, captions, licences; no sounds, no paths."""

import io
from pathlib import Path

import pyarrow.parquet as parquet
import yaml

from ..files.saved_directories import read_json
from ..training.recipe.reading import resolve_stages
from ..training.recipe.schema import Recipe
from ..training.rows.split_loading import load_splits
from .publishing import Publication, PublishError, check_repo_id

_COLUMNS = ("row_id", "clip_id", "caption", "source", "split", "license", "freesound_id", "youtube_id")


def collect_training_table(run_dir: str | Path, repo_id: str, *, progress: bool = True) -> Publication:
    """
    The captions that a run was trained and evaluated on, one Parquet file a split.

    Args:
        run_dir: run directory of `train.py`; its data must be where they were.
        repo_id: id of the dataset, ``owner/name``.
        progress: show progress bars while tables are read.

    Raises:
        PublishError: if the directory is not a run, or the name cannot be a repository's.
        DataError: if the data are not where they were.
    """
    check_repo_id(repo_id)
    record = read_json(Path(run_dir) / "run.json")
    if record is None:
        raise PublishError(f"{run_dir}: no run.json found; this is not the directory of a training run.")
    recipe = Recipe.model_validate(record["recipe"])
    last = resolve_stages(recipe)[-1]
    splits = load_splits(last.data, mixes=last.augmentation.mixes, progress=progress)
    files: dict[str, Path | bytes] = {}
    licenses: set[str] = set()
    for name, table in splits.items():
        kept = table.select_columns([column for column in _COLUMNS if column in table.column_names])
        licenses |= set(table["license"])
        sink = io.BytesIO()
        parquet.write_table(kept.with_format("arrow")[:], sink)
        files[f"data/{name}.parquet"] = sink.getvalue()
    configs = [{"split": name, "path": f"data/{name}.parquet"} for name in splits]
    header = {
        "language": ["en"],
        "pretty_name": repo_id.split("/")[-1],
        "tags": ["audio", "language-based-audio-retrieval", "auricle"],
        "configs": [{"config_name": "default", "data_files": configs}],
    }
    rows = "\n".join(f"| {name} | {len(table)} |" for name, table in splits.items())
    card = (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {repo_id.split('/')[-1]}\n\n"
        f"Captions of the run `{recipe.name}`, by stable row ids. The dataset contains no audio: get it from its "
        f"sources.\n\n| split | rows |\n|---|---|\n{rows}\n\nLicences of the clips: "
        f"{', '.join(sorted(licenses))}.\n"
    )
    return Publication(repo_id, {"README.md": card.encode(), **files})


__all__ = ["collect_training_table"]
