"""`auricle ask`: ranks the recordings of a folder for a sentence, without an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .encoder_options import ENGINE, PRECISION, TRUST_REMOTE_CODE, WINDOW, encoder_options
from .failures import one_line, one_line_errors, printable, quiet_libraries
from .reading_output import show_reading, why_no_sounds

if TYPE_CHECKING:
    from ..files.sound_walking import SoundWalk


class AskError(ValueError):
    """The folder of a query does not exist or contains no audio files."""


def ask(
    model: Annotated[str, typer.Argument(help="Saved model: a directory or a Hub id.")],
    folder: Annotated[Path, typer.Argument(help="Folder of recordings. Subfolders are included.")],
    sentence: Annotated[str, typer.Argument(help="Query: a sentence that describes the sound.")],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of results.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Audio segments per batch.")] = 16,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="The same as --precision int8: faster on a CPU, and changes scores slightly.",
        ),
    ] = False,
    window: Annotated[float | None, WINDOW] = None,
    precision: Annotated[str | None, PRECISION] = None,
    engine: Annotated[str, ENGINE] = "auto",
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """
    Rank the recordings of a folder for a sentence, without an index.

    The score is the cosine similarity of the embeddings of the recording and the sentence, at most 1.
    Unreadable files are skipped and listed at the end, with counts by reason and extension, also of files that
    have no extension of an audio format. For repeated queries, build an index with `auricle index`.
    """
    from ..files.reading_report import ReadingReport

    with one_line_errors(AskError, OSError, ValueError, ImportError):
        if int8 and precision is not None:
            raise AskError("--int8 and --precision cannot be combined; give one of them.")
        if not folder.is_dir():
            raise AskError(f"{folder}: folder not found.")
        walk = find_sounds(folder)
        paths = sorted(map(Path, walk.sounds))
        if not paths:
            raise AskError(
                f"{folder}: no audio files found; accepted are .wav, .flac, .ogg, .mp3 and others"
                f"{why_no_sounds(walk)}."
            )
        options = encoder_options(
            window=window,
            precision="int8" if int8 else precision,
            engine=engine,
            trust_remote_code=trust_remote_code,
        )
        answers, failures, remarks = _rank(model, paths, sentence, batch_size, options, progress)
    skipped = [(str(path), reason.removeprefix(f"{path}: ")) for path, reason in failures]
    report = ReadingReport(sorted(walk.faults + skipped), walk.unread, remarks)
    if as_json:
        unreadable = [{"path": str(path), "reason": reason} for path, reason in failures]
        ranked = [{"path": str(path), "score": score} for path, score in answers[:top]]
        found = {"sentence": sentence, "answers": ranked, "unreadable": unreadable}
        typer.echo(json.dumps(found | report.as_json(), indent=2))
    else:
        for rank, (path, score) in enumerate(answers[:top], start=1):
            typer.echo(printable(f"{rank:>2}. {score:.3f}  {path}"))
        if failures:
            typer.echo(f"{len(failures)} of {len(paths)} files are unreadable:", err=True)
            for _, reason in failures:
                typer.echo(printable(f"  {reason}"), err=True)
        for path, reason in walk.faults:
            typer.echo(one_line(f"  skipped {path}: {reason}"), err=True)
        show_reading(report)
    if not answers:
        raise typer.Exit(2)


def find_sounds(folder: Path) -> "SoundWalk":
    """The sounds below a folder, as `auricle index` finds them, and the other files."""
    from ..files.sound_walking import walk_sounds
    from ..processing import supported_audio_extensions

    return walk_sounds(folder, supported_audio_extensions())


def _rank(
    model_name: str,
    paths: list[Path],
    sentence: str,
    batch_size: int,
    options: dict[str, Any],
    progress: bool,
) -> tuple[list[tuple[Path, float]], list[tuple[Path, str]], list[tuple[str, str]]]:
    """Paths with their scores, unreadable ones with reasons, and remarks on others."""
    from ..encoders import load_encoder
    from ..encoders.caption_lengths import caption_lengths
    from ..encoders.cpu_threads import half_of_the_cores, set_cpu_threads
    from ..processing import FileRemarks

    quiet_libraries()
    set_cpu_threads(None)
    encoder = load_encoder(model_name, **options)
    encoder.prepare_texts([sentence])
    lengths = caption_lengths(encoder, [sentence])
    if lengths is not None and lengths.cut:
        typer.echo(
            f"the sentence has {lengths.longest} tokens; the model reads the first {lengths.limit} and ignores the "
            "rest",
            err=True,
        )
    query = encoder.embed_texts([sentence])[0]
    with FileRemarks() as remarks:
        embeddings, failures = encoder.embed_clips(
            [str(path) for path in paths],
            batch_size=batch_size,
            progress=progress,
            skip_unreadable=True,
            num_workers=half_of_the_cores(),
        )
    failed = {index for index, _ in failures}
    scores = embeddings @ query
    answers = [
        (paths[index], float(scores[index]))
        for index in (-scores).argsort(kind="stable")
        if index not in failed
    ]
    return answers, [(paths[index], reason) for index, reason in failures], remarks.found
