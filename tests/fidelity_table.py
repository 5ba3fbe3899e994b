"""
The fidelity table of docs/fidelity.md: every effective value of the fifteen recipes beside the report's and others'.

`make fidelity-table` writes it; tests/recipes/test_fidelity_table.py fails where the page is stale.

The report is arXiv 2509.16649. The DCASE 2025 baseline (CPJKU/dcase2025_task6_baseline, commit c78422f) and salsa
(OptimusPrimus/salsa, the commands of its README for PaSST) are code: what they do is read from their defaults.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from auricle.modeling import AUDIO_CONFIGS
from auricle.processing import AuricleFeatureExtractor
from auricle.training.recipe.reading import Stage, read_recipe, resolve_stages
from auricle.training.recipe.schema import Recipe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
BEGIN, END = "<!-- fidelity table: written by `make fidelity-table` -->", "<!-- end of the fidelity table -->"
TOWERS = ("passt", "eat", "beats")
TITLES = {"passt": "PaSST", "eat": "EAT", "beats": "BEATs"}
SIDS = (1, 2, 3, 4, 5)
OFF = "-"
NOT_STATED = ("not stated", OFF, OFF)
SAME = "the same"

# What the report, the baseline and salsa have; a row without an entry is one that the report does not speak of and
# that has no counterpart in the references.
REFERENCES: dict[str, tuple[str, str, str]] = {
    "starts from": ("published weights; the stage before", "published weights", "published weights; stage 1"),
    "seed": ("not stated", "13 and others", "409194 and others"),
    "data.source": (
        "SID 1 Clotho, AudioCaps, WavCaps; then Clotho",
        "the same in one stage",
        "the same; stage 2 Clotho",
    ),
    "data.clotho.train_splits": ("train; all three for the hidden set", "train", "train"),
    "data.audiocaps.train_splits": ("all three", "train", "train"),
    "data.exclude.evaluated": ("what overlaps Clotho's evaluation subsets", OFF, OFF),
    "data.exclude.freesound_ids": (
        "what overlaps Clotho's evaluation subsets",
        "the same list",
        "the list of 2024",
    ),
    "data.positive_column": ("every pair of a clip", "every pair of a clip", "every pair of a clip"),
    "data.max_clip_seconds": ("30", "30, at a random place", "30, at a random place"),
    "data.mel_fmin_jitter": ("not stated", "10 (PaSST)", "10 (PaSST)"),
    "data.mel_fmax_jitter": ("not stated", "2000 (PaSST)", "2000 (PaSST)"),
    "audio tower: patchout_frequency": ("2 for PaSST", "2 (PaSST)", "2 (PaSST)"),
    "audio tower: patchout_time": ("15 for PaSST", "15 (PaSST)", "15 (PaSST)"),
    "audio tower: hidden_size": ("768", "768", "768"),
    "model.audio.pretrained": ("published weights", "published weights", "published weights"),
    "model.audio.published_weights": (
        "passt_s_p16_s16_128_ap468; EAT-base epoch 30; BEATs iter3+ AS2M",
        "PaSST s16",
        "PaSST s16",
    ),
    "front end: sampling_rate": ("32000 for PaSST, 16000", "32000", "32000"),
    "front end: feature_size": ("128", "128", "128"),
    "front end: segment_seconds": ("10, without overlap", "10, without overlap", "10, without overlap"),
    "front end: min_tail_seconds": ("not stated", "0", "0"),
    "front end: downmix": ("not stated", "mean", "mean"),
    "front end: resampler": ("not stated", "ffmpeg in training, soxr in evaluation", OFF),
    "model.text.pretrained": ("roberta-large", "roberta-large", "roberta-large"),
    "model.text.config.hidden_dropout_prob": ("0.2", "0.2", "0.2"),
    "model.text.config.attention_probs_dropout_prob": ("0.2", "0.2", "0.2"),
    "model.text.max_tokens": ("32", "32", "32"),
    "model.text.caption_normalization": (
        "lower case, no ASCII punctuation",
        "lower case, no ASCII punctuation",
        "lower case, no ASCII punctuation",
    ),
    "model.text_pooling": ("first token", "first token", "first token"),
    "model.projection_dim": ("1024", "1024", "1024"),
    "model.temperature": ("0.05", "0.05", "0.05"),
    "model.learn_temperature": ("no", "no", "no"),
    "augmentation.word_deletion": ("0.8, deletion or synonym", OFF, OFF),
    "augmentation.synonyms": ("yes", OFF, OFF),
    "augmentation.back_translated": ("by GPT-4o", OFF, OFF),
    "augmentation.back_translation_probability": ("not stated", OFF, OFF),
    "augmentation.mixes": ("50,000, captions by GPT-4o", OFF, OFF),
    "distillation.teachers": ("the three models of SID 1, equal", OFF, "several stage-1 models, equal"),
    "distillation.weight": ("1", OFF, "1, halved"),
    "distillation.softmax_temperature": ("0.05", OFF, "0.05"),
    "clusters.embed_with": ("SID 4 fine-tuned text tower, SID 5 e5-large-v2", OFF, OFF),
    "clusters.method": ("BERTopic, outliers reassigned", OFF, OFF),
    "clusters.weight": ("0.05", OFF, OFF),
    "training.contrastive_weight": ("1", "1, halved", "1, halved; 0 in stage 2"),
    "training.epochs": ("20", "20", "20"),
    "training.batch_size": ("64, 24, 16", "64", "64"),
    "training.gradient_accumulation_steps": ("not stated", "1", "1"),
    "training.learning_rate": ("2e-5, 1e-5, 1e-5", "2e-5", "2e-5"),
    "training.projection_learning_rate": ("not stated", SAME, SAME),
    "training.min_learning_rate": ("1e-7", "1e-7", "1e-7"),
    "training.warmup_epochs": ("a linear rise, no length", "1", "1"),
    "training.cosine_end_epoch": ("a cosine, no length", "16", "15"),
    "training.weight_decay": ("0", "0", "0"),
    "training.max_grad_norm": ("not stated", "0 (no clipping)", "0 (no clipping)"),
    "training.freeze": ("nothing", "nothing", "nothing"),
    "training.precision": ("not stated", "fp16", "fp16"),
    "evaluation.best_metric": ("not stated", "mAP@10", "mAP@10"),
}


def effective_values(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """What counts in a stage, by field: settings of what is switched off, or overruled, are left out."""
    values: dict[str, Any] = {"starts from": stage.starts_from, "seed": recipe.seed}
    data = stage.data.model_dump()
    unused = set(type(stage.data).model_fields) & {
        "scenes",
        "folder",
        "hub",
        "clotho",
        "audiocaps",
        "wavcaps",
    }
    unused -= set(stage.data.sources)
    values |= _flat({name: value for name, value in data.items() if name not in unused}, "data")
    model = stage.model.model_dump(exclude={"audio": {"config"}, "front_end": True})
    audio = dict(stage.model.audio.config)
    config = AUDIO_CONFIGS[audio.pop("model_type")](**audio)
    values["audio tower: model_type"] = config.model_type
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        values[f"audio tower: {name}"] = getattr(config, name)
    for name in ("patchout_frequency", "patchout_time"):
        values[f"audio tower: {name}"] = getattr(config, name, 0)
    extractor = AuricleFeatureExtractor(**{"downmix": "active", **stage.model.front_end})
    for name in ("front_end", "sampling_rate", "feature_size", "segment_seconds", "min_tail_seconds"):
        values[f"front end: {name}"] = getattr(extractor, name)
    for name in ("downmix", "resampler"):
        values[f"front end: {name}"] = getattr(extractor, name)
    values |= _flat(model, "model")
    if stage.model.audio.pretrained is None and stage.model.audio.published_weights:
        values["model.audio.pretrained"] = "demanded" if stage.starts_from == "pretrained" else None
    if stage.augmentation.is_on:
        values |= _flat(stage.augmentation.model_dump(), "augmentation")
    if stage.distillation.is_on:
        values |= _flat(stage.distillation.model_dump(), "distillation")
        values["distillation.teachers"] = [entry.source for entry in stage.distillation.teachers]
        if len({entry.weight for entry in stage.distillation.teachers}) > 1:
            values["distillation.teachers"] = [
                (entry.source, entry.weight) for entry in stage.distillation.teachers
            ]
        if stage.distillation.softmax_temperature is None:
            values["distillation.softmax_temperature"] = stage.model.temperature
    if stage.clusters.is_on:
        values |= _flat(stage.clusters.model_dump(), "clusters")
        overruled = "num_clusters" if stage.clusters.method != "kmeans" else "min_cluster_size"
        del values[f"clusters.{overruled}"]
    training = stage.training
    values |= _flat(training.model_dump(), "training")
    if training.projection_learning_rate is None:
        values["training.projection_learning_rate"] = training.learning_rate
    if training.warmup_epochs is not None:
        del values["training.warmup_share"]
    if "text" not in training.freeze:
        del values["training.cache_frozen_text"]
    if not training.lora.towers:
        values = {name: value for name, value in values.items() if not name.startswith("training.lora.")}
        values["training.lora.towers"] = []
    values |= _flat(recipe.evaluation.model_dump(), "evaluation")
    return values


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}.{name}")
        else:
            found[f"{prefix}.{name}"] = value
    return found


def all_values() -> dict[tuple[int, str], dict[str, str]]:
    """The effective values of every recipe as they are written, by SID and tower."""
    found = {}
    for sid in SIDS:
        for tower in TOWERS:
            recipe = read_recipe(ROOT / f"recipes/clotho/sid{sid}_{tower}.yaml")
            (stage,) = resolve_stages(recipe)
            found[sid, tower] = {
                name: _shown(value) for name, value in effective_values(recipe, stage).items()
            }
    return found


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)


def table_text() -> str:
    """The three tables as Markdown, without the two lines around them."""
    values = all_values()
    names = list(dict.fromkeys(name for one in values.values() for name in one))
    shared: list[list[str]] = []
    by_tower: list[list[str]] = []
    by_sid: list[list[str]] = []
    for name in names:
        cells = {key: _of_any_tower(one.get(name, OFF), key[1]) for key, one in values.items()}
        references = list(REFERENCES.get(name, NOT_STATED))
        if len(set(cells.values())) == 1:
            shared.append([f"`{name}`", cells[1, "passt"], *references])
        elif all(len({cells[sid, tower] for sid in SIDS}) == 1 for tower in TOWERS):
            by_tower.append([f"`{name}`", *(cells[1, tower] for tower in TOWERS), *references])
        elif all(len({cells[sid, tower] for tower in TOWERS}) == 1 for sid in SIDS):
            by_sid.append([f"`{name}`", *(cells[sid, "passt"] for sid in SIDS), *references])
        else:
            raise ValueError(f"{name} depends on configuration and tower: {cells}")
    references = ["report", "baseline", "salsa"]
    return "\n\n".join(
        [
            "Alike in all fifteen:",
            _table(["field", "value", *references], shared),
            "By tower:",
            _table(["field", *TITLES.values(), *references], by_tower),
            f"By configuration ({OFF}: has no effect there):",
            _table(["field", *(f"SID {sid}" for sid in SIDS), *references], by_sid),
        ]
    )


def _of_any_tower(text: str, tower: str) -> str:
    """A recipe's own tower in the name of a run, as a placeholder; the list of all three teachers stays as it is."""
    if text.count("runs/") > 1:
        return text
    return text.replace(f"_{tower}/", "_TOWER/")


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def page_with_table(page: str) -> str:
    """A page with the text between its two marks replaced by the table of today's recipes."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table_text()}\n\n{END}{after}"


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    new = page_with_table(old)
    PAGE.write_text(new, encoding="utf-8")
    print(f"{PAGE}: {'as it was' if new == old else 'written'}", file=sys.stderr)
