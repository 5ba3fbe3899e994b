"""`auricle ask`: ranks the sounds of a folder for a sentence."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .failures import one_line_errors, printable, quiet_libraries


class AskError(ValueError):
    """A question that cannot be answered as it was put."""


def ask(
    model: Annotated[str, typer.Argument(help="A saved model: a directory or a Hub id.")],
    folder: Annotated[Path, typer.Argument(help="Folder with sounds; subfolders are searched too.")],
    sentence: Annotated[str, typer.Argument(help="What the sound should be like.")],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many answers.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Segments embedded at a time.")] = 16,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit layers: faster on a CPU, scores shift a little.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Rank the sounds of a folder by how well a sentence describes them.

    The score is the cosine similarity, at most 1. Files that cannot be read are left out and listed at the end.
    """
    from ..processing import supported_audio_extensions

    with one_line_errors(AskError, OSError, ValueError, ImportError):
        if not folder.is_dir():
            raise AskError(f"{folder}: no such folder.")
        paths = find_sounds(folder, supported_audio_extensions())
        if not paths:
            raise AskError(
                f"{folder}: holds no audio file that can be read (such as .wav, .flac, .ogg, .mp3)."
            )
        answers, failures = _rank(model, paths, sentence, batch_size, int8, progress)
    if as_json:
        unreadable = [{"path": str(path), "reason": reason} for path, reason in failures]
        ranked = [{"path": str(path), "score": score} for path, score in answers[:top]]
        typer.echo(json.dumps({"sentence": sentence, "answers": ranked, "unreadable": unreadable}, indent=2))
    else:
        for rank, (path, score) in enumerate(answers[:top], start=1):
            typer.echo(printable(f"{rank:>2}. {score:.3f}  {path}"))
        if failures:
            typer.echo(f"{len(failures)} of {len(paths)} files could not be read:", err=True)
            for _, reason in failures:
                typer.echo(printable(f"  {reason}"), err=True)
    if not answers:
        raise typer.Exit(2)


def find_sounds(folder: Path, extensions: frozenset[str]) -> list[Path]:
    """Files below a folder that look like sound by their extension, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in extensions and path.is_file())


def _rank(
    model_name: str, paths: list[Path], sentence: str, batch_size: int, int8: bool, progress: bool
) -> tuple[list[tuple[Path, float]], list[tuple[Path, str]]]:
    import torch

    from ..evaluation.caption_lengths import caption_lengths
    from ..evaluation.embedding import embed_captions, embed_clips
    from ..evaluation.model_loading import load_pretrained
    from ..training.cpu_threads import set_cpu_threads

    quiet_libraries()
    set_cpu_threads(None)
    model, processor = load_pretrained(model_name, int8=int8)
    lengths = caption_lengths(processor, [sentence])
    if lengths.cut:
        typer.echo(
            f"the sentence has {lengths.longest} tokens; the model reads the first {lengths.limit} and leaves out "
            "the rest",
            err=True,
        )
    if not int8:
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    query = embed_captions(model, processor, [sentence])[0]
    embeddings, failures = embed_clips(
        model,
        processor,
        [str(path) for path in paths],
        batch_size=batch_size,
        progress=progress,
        skip_unreadable=True,
    )
    failed = {index for index, _ in failures}
    scores = embeddings @ query
    answers = [
        (paths[index], float(scores[index]))
        for index in (-scores).argsort(kind="stable")
        if index not in failed
    ]
    return answers, [(paths[index], reason) for index, reason in failures]
