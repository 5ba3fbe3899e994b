"""`auricle refine`: a saved search whose results learn from marks."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .encoder_options import TRUST_REMOTE_CODE
from .failures import one_line, reader_may_leave
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

if TYPE_CHECKING:
    from ..search.query.hits import Hit
    from ..search.refine import Refinement
    from ..search.refine.mark_files import ImportReport
    from ..search.refine.mark_table import MarkTable
    from ..search.refine.marks import Mark
    from ..search.refine.saved_searches import SavedSearch
    from ..search.sound_index import SoundIndex

SIGNS = {True: "fits", False: "does not fit", None: ""}
SHOWN_MOMENT = "FILE, or FILE#t=START,END in seconds"


def refine(
    name: Annotated[
        str | None, typer.Argument(help="Name of the saved search. Without a name, list all saved searches.")
    ] = None,
    index_dir: Annotated[str, INDEX] = DEFAULT_INDEX,
    question: Annotated[
        str | None,
        typer.Option(
            help="Query of the search. Creates the search, or replaces its query and filters; its marks stay. Filters "
            "given with it are saved, too."
        ),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help=f"Query by a sound, instead of --question: {SHOWN_MOMENT}.")
    ] = None,
    fits: Annotated[
        list[str] | None,
        typer.Option("--fits", "--mark", help=f"Mark as fitting: {SHOWN_MOMENT}. Repeatable."),
    ] = None,
    misfits: Annotated[
        list[str] | None,
        typer.Option("--misfit", help="Mark as not fitting, in the same form. Repeatable."),
    ] = None,
    unmark: Annotated[
        list[str] | None, typer.Option(help="Remove a mark, in the same form. Repeatable.")
    ] = None,
    least_sure: Annotated[
        bool,
        typer.Option(
            "--least-sure", help="Show the windows to mark next: the ones with the least certain score."
        ),
    ] = False,
    unmarked: Annotated[
        bool, typer.Option("--unmarked", help="Show results without marked windows.")
    ] = False,
    list_marks: Annotated[bool, typer.Option("--marks", help="Show the marks instead of results.")] = False,
    import_csv: Annotated[
        Path | None,
        typer.Option(
            "--import", help="Import marks from this CSV file. Without NAME, each mark keeps its search."
        ),
    ] = None,
    export_csv: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Export the marks to this CSV file. Without NAME, the marks of all searches."
        ),
    ] = None,
    import_hoplite: Annotated[
        Path | None,
        typer.Option(
            help="Import annotations with the label NAME, or --label, from this perch-hoplite database (directory)."
        ),
    ] = None,
    export_hoplite: Annotated[
        Path | None,
        typer.Option(help="Add the marks as annotations to this perch-hoplite database (directory)."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label in the perch-hoplite database. Default: NAME.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the search and its marks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --delete.")] = False,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of results.")] = 10,
    path: Annotated[str | None, PATH] = None,
    tag: Annotated[str | None, TAG] = None,
    min_duration: Annotated[float | None, MIN_DURATION] = None,
    max_duration: Annotated[float | None, MAX_DURATION] = None,
    license: Annotated[str | None, LICENSE] = None,
    metadata: Annotated[list[str] | None, METADATA] = None,
    model: Annotated[str | None, MODEL] = None,
    trust_remote_code: Annotated[bool, TRUST_REMOTE_CODE] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """
    Save a search, mark its results, and show results that learn from the marks.

    Create a search with --question, mark results with --fits and --misfit, and repeat. Results are printed in the form
    that --fits and --misfit take. After the first mark, the query moves towards windows that fit. From 20 marks on, a
    linear probe ranks. Both use stored embeddings; the model runs only for a new query.

    Marks belong to the content of a file and stay valid when files are moved or renamed. `auricle detections` lists
    all windows above a threshold. If there are no results, the exit code is 3.
    """
    with search_errors():
        from ..search.errors import SearchError
        from ..search.query.filters import metadata_pairs
        from ..search.refine import MarkTable, SavedSearches
        from ..search.refine.marks import check_name

        name = None if name is None else check_name(name)
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
        searches = SavedSearches(sounds)
        if name is None:
            needs = {
                "--question": question, "--like": like, "--fits": fits, "--misfit": misfits, "--unmark": unmark,
                "--least-sure": least_sure, "--unmarked": unmarked, "--marks": list_marks, "--delete": delete,
                "--import-hoplite": import_hoplite, "--export-hoplite": export_hoplite, "--label": label,
            }  # fmt: skip
            without = next((option for option, value in needs.items() if value), None)
            if without is not None:
                raise SearchError(f"{without} needs the NAME of a saved search.")
            if import_csv is not None:
                _import(sounds, import_csv, "")
            if export_csv is not None:
                _export(sounds, export_csv, "")
            if import_csv is None and export_csv is None:
                _list(sounds, searches.all(), as_json)
            return
        if question is not None and like is not None:
            raise SearchError("give either --question or --like.")
        for option, value in (("--question", question), ("--like", like)):
            if value is not None and not value.strip():
                # It would take the place of the saved query.
                raise SearchError(f"{option} is empty; leave it out to keep the query of the saved search.")
        if question is not None:
            searches.save(name, question, filters=given)
        elif like is not None:
            searches.save_sound(name, *parse_moment(like), filters=given)
        if delete:
            _delete(sounds, searches.get(name), yes)
            return
        if import_csv is not None:
            _import(sounds, import_csv, name)
        if import_hoplite is not None:
            from ..search.refine.hoplite_labels import import_annotations

            _show_report(import_annotations(sounds, import_hoplite, label or name, name))
        asked = searches.get(name).question if name in searches else ""
        table = MarkTable(sounds)
        marks = [
            table.make(name, *parse_moment(text), kind, asked)
            for texts, kind in ((fits, True), (misfits, False), (unmark, None))
            for text in texts or ()
        ]
        if fits and name not in searches:
            # A search by marks only.
            searches.save(name, filters=given)
        search = searches.get(name)
        _report_unmarked(table, search, marks)
        table.extend(marks)
        if export_csv is not None:
            _export(sounds, export_csv, name)
        if export_hoplite is not None:
            from ..search.refine.hoplite_labels import export_annotations

            _show_report(export_annotations(sounds, name, export_hoplite, label or name))
        if (export_csv is not None or export_hoplite is not None) and not (least_sure or unmarked or as_json):
            return
        if list_marks:
            _show_marks(sounds, search, as_json)
            return
        saved = {} if question is not None or like is not None else given
        _show(sounds, name, top, saved, least_sure=least_sure, unmarked=unmarked, as_json=as_json)


def parse_moment(text: str) -> tuple[str, float | None, float | None]:
    """
    Path, start and end of ``FILE#t=START,END`` (W3C Media Fragments, in seconds); of ``FILE`` the path.

    Raises:
        SearchError: for a moment in another form.
    """
    from ..search.errors import SearchError

    path, sign, moment = text.rpartition("#t=")
    if not sign:
        return text, None, None
    try:
        start, end = map(float, moment.split(","))
    except ValueError as error:
        raise SearchError(
            f"{text}: the moment after #t= must be START,END in seconds, as in #t=10,15."
        ) from error
    return path, start, end


def _report_unmarked(table: "MarkTable", search: "SavedSearch", marks: "Sequence[Mark]") -> None:
    """Reports which of the moments to unmark have no mark."""
    marked = [*table.of(search.name, search.question), *(mark for mark in marks if mark.fits is not None)]
    for mark in marks:
        if mark.fits is None and not any(mark.overlaps(other) for other in marked):
            moment = "" if mark.start is None else f"#t={mark.start:g},{mark.end:g}"
            typer.echo(f"{mark.path}{moment}: has no mark in {search.name!r}.", err=True)


def _show(
    sounds: "SoundIndex",
    name: str,
    top: int,
    filters: Mapping[str, Any],
    *,
    least_sure: bool,
    unmarked: bool,
    as_json: bool,
) -> None:
    from ..search.refine import refine as learn

    learned = learn(sounds, name)
    if least_sure:
        hits = learned.least_sure(top, filters)
    else:
        hits = learned.answers(top, filters, unmarked=unmarked)
    for line in learned.remarks():
        typer.echo(one_line(line), err=True)
    with reader_may_leave():
        if as_json:
            _print_json(_as_json(learned, hits))
        else:
            typer.echo(one_line(f"{learned.search.name}: {learned.summary()}"))
            marks = learned.marks_by_window()
            for rank, hit in enumerate(hits, start=1):
                sign = SIGNS[marks.get((hit.path, hit.start))]
                where = f"{hit.path}#t={hit.start:.6g},{hit.end:.6g}"
                typer.echo(one_line(f"{rank:>3}. {hit.score:6.3f}  {sign:12}  {where}"))
            if not hits:
                typer.echo("no results")
    if not hits:
        for line in sounds.why_empty(**{**learned.search.filters, **filters}):
            typer.echo(one_line(line), err=True)
        raise typer.Exit(NO_RESULTS)


def _as_json(learned: "Refinement", hits: "Sequence[Hit]") -> dict[str, Any]:
    marks = learned.marks_by_window()
    return {
        "name": learned.search.name,
        "question": learned.search.question,
        "filters": dict(learned.search.filters),
        "fits": learned.fits,
        "misfits": learned.misfits,
        "method": learned.method,
        "remarks": learned.remarks(),
        "results": [{**asdict(hit), "mark": marks.get((hit.path, hit.start))} for hit in hits],
    }


def _list(sounds: "SoundIndex", searches: "Sequence[SavedSearch]", as_json: bool) -> None:
    from ..search.refine import MarkTable

    table = MarkTable(sounds)
    rows = []
    for search in searches:
        marks = table.of(search.name, search.question)
        fits = sum(bool(mark.fits) for mark in marks)
        rows.append(
            {
                "name": search.name,
                "question": search.question,
                "filters": dict(search.filters),
                "fits": fits,
                "misfits": len(marks) - fits,
                "created": search.created,
            }
        )
    with reader_may_leave():
        if as_json:
            _print_json(rows)
            return
        if not rows:
            typer.echo("no saved searches; create one with: auricle refine NAME --question TEXT")
        for row in rows:
            asked = repr(row["question"]) if row["question"] else "by marks only"
            told = f"{row['name']}: {asked}, {row['fits']} fit, {row['misfits']} do not"
            typer.echo(one_line(told + (f", filters {row['filters']}" if row["filters"] else "")))


def _show_marks(sounds: "SoundIndex", search: "SavedSearch", as_json: bool) -> None:
    from ..search.refine import MarkTable

    marks = MarkTable(sounds).of(search.name, search.question)
    with reader_may_leave():
        if as_json:
            _print_json([asdict(mark) for mark in marks])
            return
        for mark in marks:
            moment = "" if mark.start is None else f"#t={mark.start:.6g},{mark.end:.6g}"
            who = f"  {mark.who}" if mark.who else ""
            typer.echo(one_line(f"{mark.when[:19]}Z  {SIGNS[mark.fits]:12}  {mark.path}{moment}{who}"))
        if not len(marks):
            typer.echo("no marks")
    for line in marks.unread:
        typer.echo(one_line(f"not read: {line}"), err=True)


def _delete(sounds: "SoundIndex", search: "SavedSearch", yes: bool) -> None:
    from ..search.refine import MarkTable, SavedSearches
    from ..search.refine.marked_index import counted

    count = len(MarkTable(sounds).of(search.name))
    if not yes and not typer.confirm(
        one_line(f"Delete the search {search.name!r} and its {count} marks?"), err=True
    ):
        raise typer.Exit(1)
    SavedSearches(sounds).delete(search.name)
    typer.echo(one_line(f"deleted {search.name!r} and {counted(count, 'mark', 'marks')}"))


def _import(sounds: "SoundIndex", path: Path, name: str) -> None:
    from ..search.refine.mark_files import import_marks

    _show_report(import_marks(sounds, path, name))


def _export(sounds: "SoundIndex", path: Path, name: str) -> None:
    from ..search.refine import MarkTable, SavedSearches
    from ..search.refine.mark_files import export_marks

    table = MarkTable(sounds)
    marks = table.of(name, SavedSearches(sounds).get(name).question) if name else table.everything()
    typer.echo(one_line(f"wrote {export_marks(path, marks):,} marks to {path}"), err=True)


def _show_report(report: "ImportReport") -> None:
    for line in report.lines():
        typer.echo(one_line(line), err=True)


def _print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    typer.echo(text)


__all__ = ["parse_moment", "refine"]
