"""A model card rendered from a training run: towers, data, stages, teachers, clusters, recipe and figures."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined, UndefinedError

from ..files.saved_directories import read_json
from ..training.recipe.reading import Stage, ignores_model, resolve_stages
from ..training.recipe.schema import AugmentationSection, Recipe
from .licenses import derive_license

TEMPLATE = "model_card.md"
METRICS = ("mAP@16", "mAP@10", "R@1", "R@5", "R@10")
DIRECTIONS = (("text_to_audio", "text to audio"), ("audio_to_text", "audio to text"))
LARGEST_CLUSTERS = 10
OWN_PATH = re.compile(r"(?<!\S)[/~][^\s,]+")
# A Hub id has one slash: what has more, or begins with a dot, is a directory.
_RELATIVE_PATH = re.compile(r"\.{1,2}/[^\s,:]*|[\w.@-]+(/[\w.@-]+){2,}/?")
CITATIONS = {
    "passt": "PaSST: Koutini et al., Efficient Training of Audio Transformers with Patchout, Interspeech 2022, "
    "arXiv 2110.05069",
    "eat": "EAT: Chen et al., EAT: Self-Supervised Pre-Training with Efficient Audio Transformer, IJCAI 2024, "
    "arXiv 2401.03497",
    "beats": "BEATs: Chen et al., BEATs: Audio Pre-Training with Acoustic Tokenizers, ICML 2023, arXiv 2212.09058",
}
# Fields of a cluster summary that are not settings.
NOT_SETTINGS = ("top_words", "sizes", "source", "libraries", "number", "num_clusters")


class CardError(ValueError):
    """A run without the data for a card; the message names what is missing."""


def write_model_card(run_dir: Path) -> Path:
    """
    Writes the card of a finished run into its model's directory.

    Args:
        run_dir: directory of a run, see [`RunDirectory`].

    Returns:
        ``README.md`` in the directory of the last stage's model.

    Raises:
        CardError: as [`render_model_card`].
    """
    text = render_model_card(run_dir)
    path = Path(run_dir) / _last_stage(_record(run_dir)) / "model" / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def render_model_card(
    run_dir: Path, *, stage: str | None = None, repo_id: str | None = None, license: str | None = None
) -> str:
    """
    The card of a finished run as Markdown with the Hub's metadata.

    Args:
        run_dir: directory of a run.
        stage: whose model; the last one's if not given.
        repo_id: where it will be on the Hub, for the examples; a placeholder if not given.
        license: the Hub's name of a licence; derived from data and encoders if not given.

    Raises:
        CardError: if the directory is not a run, the stage is not finished, or the template has an unknown field.
    """
    run_dir = Path(run_dir)
    record = _record(run_dir)
    recipe = Recipe.model_validate(record["recipe"])
    stages = resolve_stages(recipe)
    if stage is not None:
        stages = stages[: [entry.name for entry in stages].index(stage) + 1]
    last = stages[-1].name
    config = read_json(run_dir / last / "model" / "config.json")
    if config is None or read_json(run_dir / last / "stage.json") is None:
        raise CardError(f"{run_dir}: stage {last!r} is not finished; run the recipe to its end first.")
    extractor = read_json(run_dir / last / "model" / "processor_config.json") or {}
    extractor = extractor.get("feature_extractor", extractor)
    summaries = {stage.name: read_json(run_dir / stage.name / "stage.json") or {} for stage in stages}
    # Paths of this run mean nothing elsewhere; absolute ones also reveal where it was run.
    shown = without_places(record["recipe"])
    if ignores_model(stages):
        del shown["model"]
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = resources.files("auricle.model_cards").joinpath(TEMPLATE).read_text(encoding="utf-8")
    # Only the last stage has results.
    results = (read_json(run_dir / "results.json") or {}) if last == recipe.stage_names()[-1] else {}
    figures, intervals = results.get("figures", {}), results.get("intervals", {})
    data_licenses = read_json(run_dir / last / "licenses.json") or {}
    fields = {
        "card_data": _card_data(
            recipe,
            license or derive_license(data_licenses, first_weights(stages, summaries)).license,
            figures,
            intervals,
        ).to_yaml(),
        "model_id": repo_id or "path/of/this/directory",
        "data_licenses": data_licenses,
        "seconds": sum(summary.get("seconds", 0) for summary in summaries.values()),
        "hardware": summaries[last].get("hardware", "not recorded"),
        "encoder_citations": architecture_citations(config["audio_config"]),
        "name": recipe.name,
        "description": recipe.description,
        "audio_tower": _tower(config["audio_config"], summaries[last], stages, summaries, "audio"),
        "text_tower": _tower(config["text_config"], summaries[last], stages, summaries, "text"),
        "projection_dim": config["projection_dim"],
        "temperature": config["temperature"],
        "num_clusters": config.get("num_clusters", 0),
        "sampling_rate": config["audio_config"]["sampling_rate"],
        "segment_seconds": extractor.get("segment_seconds", "?"),
        "metrics": METRICS,
        "figures": _figure_rows(figures, intervals),
        "relevance_column": results.get("relevance_column"),
        "evaluated": results.get("evaluated", {}),
        "data": _data_rows(run_dir, last, results),
        "model_from": _place(stages[0].starts_from) if ignores_model(stages) else None,
        "source": stages[-1].data.source,
        "max_clip_seconds": stages[-1].data.max_clip_seconds,
        "stages": [_stage_row(stage, summaries[stage.name]) for stage in stages],
        "teachers": [
            {"stage": name, **teacher, "source": _place(teacher["source"])}
            for name, summary in summaries.items()
            for teacher in summary.get("teachers", [])
        ],
        "clusters": [
            _cluster_entry(name, summary["clusters"])
            for name, summary in summaries.items()
            if "clusters" in summary
        ],
        "recipe": yaml.safe_dump(shown, sort_keys=False, allow_unicode=True),
        "fingerprint": record["fingerprint"],
        "packages": ", ".join(f"{name} {version}" for name, version in record["packages"].items()),
    }
    try:
        # Parts that a run lacks leave their blank lines.
        return re.sub(r"\n{3,}", "\n\n", environment.from_string(template).render(fields))
    except UndefinedError as error:
        raise CardError(f"the template of the card uses an unknown field: {error.message}.") from error


def _record(run_dir: Path) -> dict[str, Any]:
    record = read_json(Path(run_dir) / "run.json")
    if record is None:
        raise CardError(f"{run_dir}: no run.json found; this is not the directory of a training run.")
    return record


def _last_stage(record: Mapping[str, Any]) -> str:
    return record["recipe"]["stages"][-1]["name"]


def _card_data(
    recipe: Recipe,
    license: str,
    figures: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, list[float]]],
) -> ModelCardData:
    results = [
        EvalResult(
            task_type="text-to-audio-retrieval"
            if direction == "text_to_audio"
            else "audio-to-text-retrieval",
            task_name=label,
            dataset_type=str(_first_source(recipe)),
            dataset_name=f"{_first_source(recipe)}, {split}",
            dataset_split=split,
            metric_type=metric,
            metric_name=metric,
            metric_value=round(values[f"{direction}_{metric}"], 4),
            metric_args=_interval_args(intervals.get(split, {}).get(f"{direction}_{metric}")),
        )
        for split, values in figures.items()
        for direction, label in DIRECTIONS
        for metric in METRICS
    ]
    return ModelCardData(
        language="en",
        license=license,
        eval_results=results or None,
        library_name="transformers",
        pipeline_tag="feature-extraction",
        tags=["auricle", "audio-retrieval", "text-to-audio-retrieval", "custom_code"],
        model_name=recipe.name,
    )


def first_weights(stages: list[Stage], summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By tower, or ``all``, where the first stage of the last one's chain took its weights from."""
    by_name = {stage.name: stage for stage in stages}
    name = stages[-1].name
    while by_name[name].starts_from in by_name:
        name = by_name[name].starts_from
    return {tower: str(origin) for tower, origin in summaries[name].get("weights", {}).items()}


def _tower(
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    stages: list[Stage],
    summaries: Mapping[str, Mapping[str, Any]],
    tower: str,
) -> str:
    """The tower's kind and size, and where the first stage of its chain took its weights from."""
    origins = first_weights(stages, summaries)
    origin = origins.get(tower) or origins.get("all", "unknown")
    kind = config["model_type"].removeprefix("auricle_")
    return f"{kind}, {config['num_hidden_layers']} layers of {config['hidden_size']}, from {_place(origin)}"


def _place(text: str) -> str:
    """Replaces paths of this machine by their last part, the model of a run's stage by its name."""
    text = str(text)
    if _RELATIVE_PATH.fullmatch(text) or ("/" in text and Path(text).exists()):
        return _last_part(Path(text))
    return OWN_PATH.sub(lambda match: _last_part(Path(match[0])), text)


def _last_part(path: Path) -> str:
    if path.name == "model" and len(path.parts) > 2:
        return f"stage {path.parent.name} of run {path.parent.parent.name}"
    return path.name


def without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: without_places(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_places(inner) for inner in value]
    return _place(value) if isinstance(value, str) else value


def _first_source(recipe: Recipe) -> str:
    source = recipe.data.source
    return str(source if isinstance(source, str) else source[0])


def _interval_args(interval: list[float] | None) -> dict[str, list[float]] | None:
    return {"confidence_interval_95": [round(edge, 4) for edge in interval]} if interval else None


def architecture_citations(audio_config: Mapping[str, Any]) -> list[str]:
    """Citation of an audio tower's architecture, by its config."""
    kind = str(audio_config["model_type"]).removeprefix("auricle_")
    return [CITATIONS[kind]] if kind in CITATIONS else []


def _figure_rows(
    figures: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, list[float]]]
) -> list[dict[str, Any]]:
    def shown(split: str, name: str, value: float) -> str:
        edges = intervals.get(split, {}).get(name)
        return f"{value:.3f}" + (f" [{edges[0]:.3f}, {edges[1]:.3f}]" if edges else "")

    return [
        {
            "split": split,
            "direction": label,
            "values": [shown(split, f"{name}_{metric}", values[f"{name}_{metric}"]) for metric in METRICS],
        }
        for split, values in figures.items()
        for name, label in DIRECTIONS
    ]


def _data_rows(run_dir: Path, stage: str, results: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Number of captions by split: those that were trained on, chosen by, and evaluated on."""
    learned = read_json(run_dir / stage / "data.json") or {}
    rows = {name: entry["rows"] for name, entry in learned.items()}
    rows |= {name: entry["captions"] for name, entry in results.get("evaluated", {}).items()}
    return list(rows.items())


def _stage_row(stage: Stage, summary: Mapping[str, Any]) -> dict[str, Any]:
    losses = (
        [f"{stage.training.contrastive_weight:g} contrastive"] if stage.training.contrastive_weight else []
    )
    if stage.distillation.is_on:
        losses.append(f"{stage.distillation.weight:g} distillation")
    if stage.clusters.is_on:
        losses.append(f"{stage.clusters.weight:g} clusters")
    return {
        "name": stage.name,
        "starts_from": _place(stage.starts_from),
        "epochs": f"{stage.training.epochs:g}",
        "steps": summary.get("steps", "?"),
        "learning_rate": f"{stage.training.learning_rate:g}",
        "losses": " + ".join(losses),
        "augmentation": _augmentation(stage.augmentation),
    }


def _augmentation(section: AugmentationSection) -> str:
    parts = []
    if section.back_translated and section.back_translation_probability:
        by = _answered_by(section.back_translated)
        parts.append(f"back-translation by {by} with probability {section.back_translation_probability:g}")
    if section.word_deletion:
        edit = "one word deleted or replaced by a synonym" if section.synonyms else "one word deleted"
        parts.append(f"{edit} with probability {section.word_deletion:g}")
    if section.mixes:
        parts.append(f"mixes with captions by {_answered_by(section.mixes)}")
    return ", ".join(parts) or "none"


def _answered_by(directory: str) -> str:
    """What made the captions of an augmentation job."""
    job = read_json(Path(directory) / "job.json") or {}
    if job.get("rule_based"):
        return "rules"
    return (job.get("backend") or {}).get("model", "a model not recorded")


def _cluster_entry(stage: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    sizes, words = summary.get("sizes", []), summary.get("top_words", [])
    largest = sorted(range(len(sizes)), key=lambda cluster: -sizes[cluster])[:LARGEST_CLUSTERS]
    settings = dict(summary.get("settings", {}))
    flat = {key: value for key, value in summary.items() if key not in (*NOT_SETTINGS, "settings")}
    source = summary.get("source", {})
    return {
        "stage": stage,
        "num_clusters": summary.get("num_clusters", len(sizes)),
        "method": settings.get("method", summary.get("method", "unknown")),
        "source": _place(source.get("name", "")) if isinstance(source, Mapping) else _place(source),
        "settings": [
            (key.replace("_", " "), value) for key, value in {**settings, **flat}.items() if key != "method"
        ],
        "largest": [
            f"{sizes[cluster]} captions: {', '.join(words[cluster])}" for cluster in largest if words
        ],
    }
