"""`auricle detections`: every window that a saved search takes for a detection."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .failures import one_line
from .index_options import (
    DEFAULT_INDEX,
    INDEX,
    LICENSE,
    MAX_DURATION,
    METADATA,
    MIN_DURATION,
    MODEL,
    NO_RESULTS,
    PATH,
    TAG,
    open_index,
    search_errors,
)


def detections(
    name: Annotated[str, typer.Argument(help="Name of a saved search with marks; see `auricle refine`.")],
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Write the detections to this CSV file, by path and time; - for standard output."
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Write the detections to this file: .csv, .m3u (VLC), .cue, or for one recording .txt (Audacity "
            "labels) or .reaper.csv (Reaper regions).",
        ),
    ] = None,
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    precision: Annotated[
        float,
        typer.Option(
            help="Wanted precision, above 0 and at most 1. The lowest threshold that reaches it is used."
        ),
    ] = 0.9,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Minimum score of a detection, instead of --precision. From 20 marks on, scores are between 0 and 1."
        ),
    ] = None,
    path: Annotated[str | None, PATH] = None,
    tag: Annotated[str | None, TAG] = None,
    min_duration: Annotated[float | None, MIN_DURATION] = None,
    max_duration: Annotated[float | None, MAX_DURATION] = None,
    license: Annotated[str | None, LICENSE] = None,
    metadata: Annotated[list[str] | None, METADATA] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print counts, threshold and estimate as JSON.")
    ] = False,
) -> None:
    """
    Write all windows that a saved search detects to a file (--csv or --export).

    Threshold and precision are estimated by cross-validation over the marks of the search, grouped by file. This takes
    20 marks, 5 of each kind in 3 files or more; with fewer, the command refuses or needs --threshold. The estimate
    is valid for windows like the marked ones. To check it, mark some detections at random and run the command again. If
    there are no detections, the exit code is 3.
    """
    with search_errors():
        from ..search.errors import SearchError
        from ..search.exports import export_detections
        from ..search.query.filters import metadata_pairs
        from ..search.refine.detections import find_detections

        out = csv if csv is not None else export
        if out is None or None not in (csv, export):
            raise SearchError("give one of --csv FILE and --export FILE.")
        if as_json and str(csv) == "-":
            raise SearchError("--json and --csv - both print to standard output; give a file with --csv.")
        filters = {
            "glob": path,
            "tag": tag,
            "min_duration": min_duration,
            "max_duration": max_duration,
            "license": license,
            "metadata": metadata_pairs(metadata or []),
        }
        given = {key: value for key, value in filters.items() if value not in (None, {})}
        sounds = open_index(index_dir, None, None, model=model, trust_remote_code=trust_remote_code)
        found = find_detections(sounds, name, precision=precision, threshold=threshold, filters=given)
        if csv is not None:
            found.write_csv(csv)
        else:
            export_detections(out, found)
        for line in found.learned.remarks():
            typer.echo(one_line(line), err=True)
        if as_json:
            told = {
                "name": name,
                "detections": len(found),
                "files": found.files,
                "windows": found.compared,
                "threshold": found.threshold,
                "estimate": None if found.estimate is None else asdict(found.estimate),
                "unmarked": found.unmarked,
                "csv": str(out) if csv is not None else None,
                "export": str(out),
            }
            typer.echo(json.dumps(told, indent=2))
        else:
            worth = found.why_none if found.estimate is None else found.estimate.line()
            typer.echo(one_line(worth), err=True)
            told = (
                f"{len(found):,} detections in {found.files:,} files, of {found.compared:,} windows; "
                f"{found.unmarked:,} of them have no mark"
            )
            typer.echo(one_line(told if str(csv) == "-" else f"{told}: wrote {out}"), err=True)
        if not len(found):
            raise typer.Exit(NO_RESULTS)


__all__ = ["detections"]
