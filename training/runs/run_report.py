"""Pictures of a training run: curves, the similarities of a small split, retrieval by cluster of captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...encoders import AudioTextEncoder, load_encoder
from ...evaluation.metrics.retrieval_metrics import (
    query_metrics_from_ranks,
    relevance_from_groups,
    relevant_ranks,
)
from ...evaluation.reports.picture_page import (
    Part,
    as_text,
    check_page_path,
    check_plotly,
    write_picture_page,
)
from ...evaluation.retrieval import RetrievalSplit
from ...files.json_files import read_json
from ..clusters.cluster_words import top_words
from ..recipe.reading import resolve_stages
from ..recipe.schema import Recipe
from ..rows.split_loading import load_splits
from .recipe_running import splits_to_report

SHOWN_FIGURES = ("mAP@16", "mAP@10", "R@1", "R@5", "R@10")
_DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
_MOST_CLUSTERS = 20
_LONGEST_LABEL = 60
_SEED = 42


@dataclass(frozen=True)
class ClusterFigures:
    """Retrieval of the captions of one cluster: its words, how many captions, mAP@16 and R@1 (text to audio)."""

    words: str
    captions: int
    mean_average_precision: float
    recall: float


@dataclass(frozen=True)
class SplitPicture:
    """
    A split with the similarities of the run's model.

    Attributes:
        name: name of the split.
        captions, clips: of the matrix, ``(n,)`` each; a clip's first caption and the clip's name.
        similarities: cosines ``(n captions, n clips)``; the diagonal belongs together.
        clusters: of all the split's captions, the best found first.
    """

    name: str
    captions: tuple[str, ...]
    clips: tuple[str, ...]
    similarities: np.ndarray
    clusters: tuple[ClusterFigures, ...]


@dataclass(frozen=True)
class RunPicture:
    """
    Attributes:
        name: name of the recipe.
        logs: logs of each stage that has logged, its name and entries in the order of steps.
        figures: by test split, of the finished run; empty before.
        intervals: 95 % of each figure.
        untrained: figures before training, where the recipe has them made.
        split: split of the last finished stage's model; None before one has finished.
    """

    name: str
    logs: tuple[tuple[str, list[dict[str, Any]]], ...]
    figures: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, Sequence[float]]]
    untrained: Mapping[str, Mapping[str, float]]
    split: SplitPicture | None


def read_run(
    run_dir: Path,
    *,
    split: str | None = None,
    clips: int = 40,
    clusters: int | None = None,
    progress: bool = False,
) -> RunPicture:
    """
    Reads a run and embeds one split with its last finished stage's model.

    Args:
        run_dir: directory of a run; stages still running show the curves of their newest checkpoint.
        split: split of the recipe's data; the first test split, or validation, if not given.
        clips: in the matrix, at most; the split's first ones.
        clusters: number of clusters of the split's captions, by k-means; if not given, as many as the square root of
            half of them, at most 20.
        progress: show progress bars.

    Raises:
        ValueError: if the directory is not a run, has logged nothing yet, or the data have no such split.
        ImportError: if scikit-learn is not installed.
    """
    record = read_json(run_dir / "run.json")
    if record is None:
        raise ValueError(f"{run_dir}: no run.json found; not a training run.")
    recipe = Recipe.model_validate(record["recipe"])
    stages = resolve_stages(recipe)
    logs = [(stage.name, _log(run_dir / stage.name)) for stage in stages]
    logs = [(name, entries) for name, entries in logs if entries]
    finished = [stage for stage in stages if (run_dir / stage.name / "stage.json").is_file()]
    if not logs and not finished:
        raise ValueError(f"{run_dir}: nothing has been logged yet; wait for the first checkpoint.")
    results = read_json(run_dir / "results.json") or {}
    picture = None
    if finished:
        last = finished[-1]
        tables = load_splits(last.data, progress=progress)
        usual = [*splits_to_report(tables), *(name for name in tables if name == "validation"), *tables]
        chosen = split or usual[0]
        if chosen not in tables:
            raise ValueError(f"split {chosen!r}: the data have {', '.join(sorted(tables))}.")
        picture = picture_split(
            load_encoder(run_dir / last.name / "model"),
            tables[chosen],
            chosen,
            relevance_column=recipe.evaluation.relevance_column,
            clips=clips,
            clusters=clusters,
            progress=progress,
        )
    return RunPicture(
        name=recipe.name,
        logs=tuple(logs),
        figures=results.get("figures", {}),
        intervals=results.get("intervals", {}),
        untrained=read_json(run_dir / "untrained.json") or {},
        split=picture,
    )


def picture_split(
    encoder: AudioTextEncoder,
    table: Any,
    name: str,
    *,
    relevance_column: str = "clip_id",
    clips: int = 40,
    clusters: int | None = None,
    progress: bool = False,
) -> SplitPicture:
    """
    The similarity matrix of a split's first clips, and retrieval over all its clips by cluster of captions.

    Args:
        encoder: whose similarities they are.
        table: table of captioned clips.
        name: name of the split.
        relevance_column, clips, clusters, progress: as in [`read_run`] and [`RetrievalSplit.from_table`].
    """
    split = RetrievalSplit.from_table(table, relevance_column)
    sounds, _ = encoder.embed_clips(split.audio, progress=progress, description="clips")
    sentences = encoder.embed_texts(split.captions)
    relevant = relevance_from_groups(split.caption_groups, split.clip_groups)
    of_query = query_metrics_from_ranks(*relevant_ranks(sentences, sounds, relevant))
    labels = _grouped(sentences, clusters)
    words = top_words(split.captions, labels, count=5)
    found = [
        ClusterFigures(
            ", ".join(words[label]) or f"cluster {label}",
            int((labels == label).sum()),
            float(of_query["mAP@16"][labels == label].mean()),
            float(of_query["R@1"][labels == label].mean()),
        )
        for label in range(len(words))
    ]
    first: dict[str, int] = {}
    for row, clip in enumerate(table["clip_id"]):
        first.setdefault(clip, row)
    shown = list(first)[:clips]
    captions = [table["caption"][first[clip]] for clip in shown]
    return SplitPicture(
        name,
        tuple(captions),
        tuple(shown),
        encoder.embed_texts(captions) @ sounds[: len(shown)].T,
        tuple(sorted(found, key=lambda one: (-one.mean_average_precision, one.words))),
    )


def write_run_report(out: Path, run: RunPicture) -> None:
    """
    Writes a run's pictures as one HTML file.

    Args:
        out: path that ends in ``.html``.
        run: as [`read_run`] gives it.

    Raises:
        ImportError: if plotly is not installed.
        ValueError: for another ending.
        OSError: if it cannot be written.
    """
    check_plotly()
    check_page_path(out)
    parts = []
    if run.figures:
        parts.append(Part("Figures", "95 % bootstrap intervals in brackets.", rows=_figure_rows(run)))
    parts.append(Part("Loss", "Stages follow one another.", _curves(run.logs, _is_loss, "loss"), name="loss"))
    if any(_is_figure(key) for _, entries in run.logs for entry in entries for key in entry):
        parts.append(
            Part(
                "Validation", "", _curves(run.logs, _is_figure, "share of queries, or mAP"), name="validation"
            )
        )
    if run.split is not None:
        parts += [_matrix_part(run.split), _cluster_part(run.split)]
    write_picture_page(out, f"Run {run.name}", parts)


def _log(stage_dir: Path) -> list[dict[str, Any]]:
    summary = read_json(stage_dir / "stage.json")
    if summary is None:
        places = sorted(stage_dir.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2]))
        summary = (
            {"log": (read_json(places[-1] / "trainer_state.json") or {}).get("log_history")} if places else {}
        )
    return summary.get("log") or []


def _grouped(vectors: np.ndarray, clusters: int | None) -> np.ndarray:
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise ImportError("a report needs scikit-learn: pip install 'auricle[pictures]'.") from error
    different = len(np.unique(vectors, axis=0))
    count = clusters or max(1, min(_MOST_CLUSTERS, round((len(vectors) / 2) ** 0.5)))
    model = KMeans(min(count, different), n_init=10, random_state=_SEED)
    # Numbered without gaps.
    return np.unique(model.fit_predict(vectors), return_inverse=True)[1].astype(np.int64)


def _is_loss(key: str) -> bool:
    return key == "loss" or key.startswith("loss_")


def _is_figure(key: str) -> bool:
    return key.startswith("eval_") and key.rpartition("_")[2] in SHOWN_FIGURES


def _curves(logs: Sequence[tuple[str, list[dict[str, Any]]]], wanted: Any, unit: str) -> Any:
    import plotly.graph_objects as plot

    lines: dict[str, tuple[list[int], list[float | None]]] = {}
    figure, offset = plot.Figure(), 0
    for name, entries in logs:
        for entry in entries:
            for key, value in entry.items():
                if wanted(key):
                    steps, values = lines.setdefault(key, ([], []))
                    steps.append(offset + entry["step"])
                    values.append(value)
        if offset:
            figure.add_vline(x=offset, line={"dash": "dot", "color": "#9aa5b1"})
        last = max(entry["step"] for entry in entries)
        figure.add_annotation(
            x=offset, y=1.06, yref="paper", xanchor="left", text=as_text(name), showarrow=False
        )
        offset += last
        # A line does not run from one stage into the next.
        for steps, values in lines.values():
            steps.append(offset)
            values.append(None)
    for key, (steps, values) in lines.items():
        shown = key not in ("loss",) and unit != "loss" and not key.endswith("text_to_audio_mAP@16")
        figure.add_trace(
            plot.Scatter(
                x=steps,
                y=values,
                mode="lines+markers",
                name=_title(key),
                # The figure that decides is seen at once; a click in the legend shows the others.
                visible="legendonly" if shown else True,
            )
        )
    figure.update_layout(
        height=380,
        margin={"l": 50, "r": 10, "t": 40, "b": 40},
        xaxis_title="step",
        yaxis_title=unit,
        showlegend=True,
    )
    return figure


def _title(key: str) -> str:
    if not key.startswith("eval_"):
        return key.replace("_", " ")
    direction, _, figure = key.removeprefix("eval_").rpartition("_")
    return f"{_DIRECTIONS.get(direction, direction)} {figure}"


def _figure_rows(run: RunPicture) -> list[list[str]]:
    rows = [["", *SHOWN_FIGURES]]
    for name, figures in run.figures.items():
        for direction, title in _DIRECTIONS.items():
            for label, values, intervals in (
                (f"{name}, {title}", figures, run.intervals.get(name, {})),
                (f"{name}, {title}, untrained", run.untrained.get(name, {}), {}),
            ):
                keys = [f"{direction}_{figure}" for figure in SHOWN_FIGURES]
                if all(key in values for key in keys):
                    rows.append([label, *(_cell(values[key], intervals.get(key)) for key in keys)])
    return rows


def _cell(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _matrix_part(split: SplitPicture) -> Part:
    import plotly.graph_objects as plot

    rows = [as_text(_shortened(text)) for text in split.captions]
    columns = [as_text(_shortened(text)) for text in split.clips]
    labels = [[f"{row}<br>{column}" for column in columns] for row in rows]
    places = list(range(len(rows)))
    figure = plot.Figure(
        plot.Heatmap(
            z=np.round(split.similarities.astype(float), 4).tolist(),
            x=places,
            y=places,
            customdata=labels,
            colorscale="Viridis",
            hovertemplate="%{customdata}<br>cosine %{z:.3f}<extra></extra>",
        )
    )
    figure.update_layout(
        height=640,
        margin={"l": 50, "r": 10, "t": 10, "b": 50},
        xaxis={"title": "clip", "constrain": "domain"},
        yaxis={"title": "caption", "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    )
    count = len(rows)
    text = (
        f"The first {count} clips of {split.name} and a caption of each: matching pairs are on the diagonal."
    )
    return Part("Similarities", text, figure, name="similarities")


def _cluster_part(split: SplitPicture) -> Part:
    import plotly.graph_objects as plot

    figure = plot.Figure()
    titles = [as_text(f"{_shortened(one.words)} ({one.captions})") for one in split.clusters]
    # Numbers as positions: two clusters may have the same words.
    places = list(range(len(titles)))
    for name, values in (
        ("mAP@16", [one.mean_average_precision for one in split.clusters]),
        ("R@1", [one.recall for one in split.clusters]),
    ):
        figure.add_trace(
            plot.Bar(
                x=values,
                y=places,
                orientation="h",
                name=name,
                customdata=titles,
                hovertemplate="%{customdata}<br>%{x:.3f}",
            )
        )
    figure.update_layout(
        height=120 + 36 * len(places),
        margin={"l": 10, "r": 10, "t": 40, "b": 40},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        xaxis={"range": [0, 1], "title": "text to audio"},
        yaxis={"tickvals": places, "ticktext": titles, "autorange": "reversed", "automargin": True},
    )
    text = f"The captions of {split.name} clustered by content, with the number of captions in each cluster."
    return Part("Retrieval by cluster", text, figure, name="clusters")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


__all__ = ["ClusterFigures", "RunPicture", "SplitPicture", "picture_split", "read_run", "write_run_report"]
