"""Back-translation: each caption into another language and back (AISTAT report, arXiv 2509.16649)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from datasets import Dataset, Features, List, Value

from ...files.replacing import replace_path
from ..schema import DataError
from .answer_checks import find_fault
from .job import Asker, JobSummary, run_job
from .journal import Journal
from .prompts_files import Prompt
from .requests import TextBackend, TextRequest

ENGLISH = ("English", "en")
LANGUAGES = {
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "pl": "Polish",
    "sv": "Swedish",
    "cs": "Czech",
    "fi": "Finnish",
    "tr": "Turkish",
    "ru": "Russian",
    "zh": "Chinese",
    "ja": "Japanese",
    "ko": "Korean",
    "ar": "Arabic",
    "hi": "Hindi",
}
COLUMN = "captions_backtranslated"
FEATURES = Features(
    {
        "row_id": Value("string"),
        "clip_id": Value("string"),
        "caption": Value("string"),
        COLUMN: List(Value("string")),
        "languages": List(Value("string")),
        "fault": Value("string"),
    }
)
FILE = "captions.parquet"


@dataclass(frozen=True)
class _Item:
    row: int
    caption: str
    code: str


def back_translate(
    table: Dataset,
    out: str | os.PathLike[str],
    backend: TextBackend,
    prompt: Prompt,
    *,
    languages: Sequence[str],
    per_caption: int = 1,
    seed: int = 0,
    attempts: int = 3,
    progress: bool = True,
) -> JobSummary:
    """
    Writes back-translations of every caption of a table.

    If the job is killed and called again, it requests only missing answers, and the file equals that of an
    uninterrupted job. Languages depend only on seed and row id.

    Args:
        table: rows of the project's schema; equal captions of different rows may take different languages.
        out: a directory; ``captions.parquet`` is written at the end, ``answers.sqlite`` as answers come in.
        backend: backend that translates.
        prompt: for chat models.
        languages: codes to draw from, see `LANGUAGES`.
        per_caption: number of languages per caption, at most as many as there are.
        seed: seed of the languages.
        attempts: maximum number of requests for one caption if its answers are rejected.
        progress: show a progress bar.

    Returns:
        Counts of kept and rejected captions.

    Raises:
        DataError: for unknown languages, a number out of range, or a directory that cannot be written.
        JobError: if the backend refuses requests or cannot be reached.
    """
    _check(languages, per_caption)
    rows, captions = list(table["row_id"]), list(table["caption"])
    items = [
        _Item(row, captions[row], code)
        for row in range(len(rows))
        for code in _draw(languages, per_caption, seed, rows[row])
    ]
    summary = JobSummary(items=len(items))
    out = Path(out)
    with Journal(out / "answers.sqlite") as journal:
        asker = Asker(backend, journal, summary, attempts)

        async def work(item: _Item) -> tuple[str | None, str]:
            there = translation_request(item.caption, ENGLISH, item.code, prompt, backend)
            abroad, fault = await asker.ask(
                there, lambda text: find_fault(text, [item.caption], copies=False, english=False)
            )
            if abroad is None:
                return None, fault
            back = translation_request(abroad, (LANGUAGES[item.code], item.code), "en", prompt, backend)
            return await asker.ask(back, lambda text: find_fault(text, [item.caption]))

        results = run_job(
            items, work, concurrency=backend.concurrency, description="back-translating", progress=progress
        )
    _write(table, items, results, out / FILE)
    summary.kept = sum(text is not None for text, _ in results)
    summary.faults.update(fault for text, fault in results if text is None)
    return summary


def translation_request(
    text: str, source: tuple[str, str], target: str, prompt: Prompt, backend: TextBackend
) -> TextRequest:
    """The request for one direction; ``target`` is a code."""
    to = ENGLISH if target == "en" else (LANGUAGES[target], target)
    return TextRequest(
        task="translate",
        texts=(text,),
        prompt=prompt.fill(source=source[0], target=to[0], text=text),
        prompt_version=prompt.version,
        languages=(source, to),
        settings=backend.settings,
    )


def read_back_translations(directory: str | os.PathLike[str]) -> dict[str, tuple[str, list[str]]]:
    """
    The caption and its back-translations, possibly none, by row id.

    Raises:
        DataError: if the directory contains none.
    """
    path = Path(directory) / FILE
    if not path.is_file():
        raise DataError(f"{directory}: no {FILE} found; `auricle augment back-translate` writes it.")
    try:
        table = parquet.read_table(path, columns=["row_id", "caption", COLUMN])
        columns = [column.to_pylist() for column in table.columns]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: the file is corrupt ({error}); run the job again.") from error
    return {row: (caption, list(texts)) for row, caption, texts in zip(*columns, strict=True)}


def _check(languages: Sequence[str], per_caption: int) -> None:
    unknown = [code for code in languages if code not in LANGUAGES]
    if unknown:
        raise DataError(f"unknown language {unknown[0]!r}; expected one of {list(LANGUAGES)}.")
    if not languages or len(set(languages)) < len(languages):
        raise DataError(f"languages {list(languages)}: give at least one, each only once.")
    if not 1 <= per_caption <= len(languages):
        raise DataError(
            f"per_caption={per_caption} must be from 1 to the number of languages, {len(languages)}."
        )


def _draw(languages: Sequence[str], count: int, seed: int, row_id: str) -> list[str]:
    """Languages of one row; they do not depend on other rows."""
    generator = np.random.default_rng([seed, *row_id.encode()])
    return [languages[place] for place in generator.permutation(len(languages))[:count]]


def _write(table: Dataset, items: Sequence[_Item], results: Sequence[Any], path: Path) -> None:
    texts: list[list[str]] = [[] for _ in range(len(table))]
    codes: list[list[str]] = [[] for _ in range(len(table))]
    faults: list[str | None] = [None] * len(table)
    for item, (text, fault) in zip(items, results, strict=True):
        if text is None:
            faults[item.row] = fault
        else:
            texts[item.row].append(text)
            codes[item.row].append(item.code)
    columns = {
        "row_id": list(table["row_id"]),
        "clip_id": list(table["clip_id"]),
        "caption": list(table["caption"]),
        COLUMN: texts,
        "languages": codes,
        "fault": faults,
    }
    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        parquet.write_table(Dataset.from_dict(columns, features=FEATURES).with_format("arrow")[:], fresh)
        replace_path(fresh, path)
    except OSError as error:
        raise DataError(f"{path}: cannot write the file ({error.strerror}).") from error
    finally:
        fresh.unlink(missing_ok=True)


__all__ = ["LANGUAGES", "back_translate", "read_back_translations", "translation_request"]
