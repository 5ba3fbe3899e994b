"""`auricle augment`: makes new captions and mixes with a language model, as resumable jobs."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..data.augmentation import JobSummary, TextBackend, TextRequest

augment = typer.Typer(
    help="Make new captions and mixes with a language model.", no_args_is_help=True, add_completion=False
)


class Backend(StrEnum):
    """The backend that generates the captions."""

    rules = "rules"
    openai = "openai"
    chat = "chat"
    translation = "translation"


_BACKEND = typer.Option(
    help="What generates the captions. rules: fixed rules, no model. openai: a server with an OpenAI-compatible "
    "API. chat, translation: an open model on this machine."
)
_MODEL = typer.Option(help="Model: its name on the server, a Hub id or a directory.")
_URL = typer.Option(help="URL of the server, such as http://127.0.0.1:8000/v1. Default: the URL of OpenAI.")
_CONCURRENCY = typer.Option(min=1, help="Number of concurrent requests to the server.")
_TIMEOUT = typer.Option(min=0.1, help="Request timeout in seconds.")
_RETRIES = typer.Option(min=0, help="Number of retries after HTTP 429, HTTP 5xx or a connection error.")
_TEMPERATURE = typer.Option(min=0.0, max=2.0, help="Sampling temperature of the server.")
_PROMPT = typer.Option(
    help="File with your own prompt. It must use the same fields in braces as the default prompt."
)
_ATTEMPTS = typer.Option(
    min=1, help="Maximum number of requests for one caption if its answers are rejected."
)
_DRY = typer.Option("--dry-run", help="Send no requests; estimate the number of requests and tokens.")
_PRICE_IN = typer.Option(min=0.0, help="Price per million input tokens, for the estimate.")
_PRICE_OUT = typer.Option(min=0.0, help="Price per million output tokens, for the estimate.")


@augment.command("back-translate")
def back_translate(
    dataset: Annotated[str, typer.Argument(help=HELP)],
    out: Annotated[
        Path, typer.Argument(help="Output directory. It also stores the responses that a resumed job reuses.")
    ],
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    backend: Annotated[Backend, _BACKEND] = Backend.rules,
    model: Annotated[str | None, _MODEL] = None,
    base_url: Annotated[str | None, _URL] = None,
    languages: Annotated[
        str, typer.Option(help="Language codes, separated by commas. Each caption uses a random selection.")
    ] = "de,fr,es,it,pt,nl",
    per_caption: Annotated[int, typer.Option(min=1, help="Number of languages per caption.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the choice of languages and for the model.")
    ] = 0,
    concurrency: Annotated[int, _CONCURRENCY] = 8,
    timeout: Annotated[float, _TIMEOUT] = 120.0,
    max_retries: Annotated[int, _RETRIES] = 8,
    temperature: Annotated[float, _TEMPERATURE] = 0.7,
    attempts: Annotated[int, _ATTEMPTS] = 3,
    prompt: Annotated[Path | None, _PROMPT] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Process only this many captions.")] = None,
    dry_run: Annotated[bool, _DRY] = False,
    price_in: Annotated[float | None, _PRICE_IN] = None,
    price_out: Annotated[float | None, _PRICE_OUT] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Translate every caption to another language and back.

    A recipe uses the result as augmentation.back_translated. An interrupted job resumes if you run the command
    again, and sends no request twice.
    """
    with _errors():
        from ..data import augmentation
        from ..data.augmentation.back_translation import ENGLISH, translation_request

        table = load_dataset_argument(dataset, split=split, captions_only=True, progress=progress)[split]
        table = table if limit is None else table.select(range(min(limit, len(table))))
        loaded_prompt = augmentation.load_prompt("translate", prompt)
        answering = _backend(
            backend, model, base_url, concurrency, timeout, max_retries, temperature, seed, dry_run=dry_run
        )
        codes = [code.strip() for code in languages.split(",") if code.strip()]
        if dry_run:
            requests = [
                translation_request(caption, ENGLISH, codes[0], loaded_prompt, answering)
                for caption in table["caption"]
            ]
            # To the language and back, at about the same length.
            _estimate(requests * 2 * per_caption, price_in, price_out)
            return
        summary = augmentation.back_translate(
            table,
            out,
            answering,
            loaded_prompt,
            languages=codes,
            per_caption=per_caption,
            seed=seed,
            attempts=attempts,
            progress=progress,
        )
        record = {"task": "back-translate", "languages": codes, "per_caption": per_caption, "seed": seed}
        _finish(out, dataset, split, record, answering, loaded_prompt, summary)


@augment.command("mix")
def mix(
    dataset: Annotated[str, typer.Argument(help=HELP)],
    out: Annotated[Path, typer.Argument(help="Output directory: a captioned folder of the mixes.")],
    count: Annotated[int, typer.Option(min=1, help="Number of mixes. The technical report uses 50,000.")],
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    backend: Annotated[Backend, _BACKEND] = Backend.rules,
    model: Annotated[str | None, _MODEL] = None,
    base_url: Annotated[str | None, _URL] = None,
    gain_db: Annotated[
        float,
        typer.Option(min=0.0, max=60.0, help="Maximum gain of the second clip in dB, louder or softer."),
    ] = 5.0,
    sampling_rate: Annotated[
        int, typer.Option(min=8000, max=192_000, help="Sampling rate of the mixes in Hz.")
    ] = 32_000,
    render: Annotated[
        bool,
        typer.Option(
            "--render", help="Write the mixes as FLAC files. Default: mix the clips when they are read."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for pairs, gains, offsets and the model.")
    ] = 0,
    concurrency: Annotated[int, _CONCURRENCY] = 8,
    timeout: Annotated[float, _TIMEOUT] = 120.0,
    max_retries: Annotated[int, _RETRIES] = 8,
    temperature: Annotated[float, _TEMPERATURE] = 0.7,
    attempts: Annotated[int, _ATTEMPTS] = 3,
    max_words: Annotated[
        int, typer.Option(min=4, max=60, help="Maximum number of words in a merged caption.")
    ] = 40,
    prompt: Annotated[Path | None, _PROMPT] = None,
    dry_run: Annotated[bool, _DRY] = False,
    price_in: Annotated[float | None, _PRICE_IN] = None,
    price_out: Annotated[float | None, _PRICE_OUT] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Mix pairs of clips and merge their captions.

    The result is a captioned folder. Train on it together with other datasets (data.source: [clotho,
    folder]). An interrupted job resumes if you run the command again, and sends no request twice.
    """
    with _errors():
        from ..data import augmentation
        from ..data.augmentation.caption_mixing import mix_request

        table = load_dataset_argument(dataset, split=split, progress=progress)[split]
        loaded_prompt = augmentation.load_prompt("mix", prompt)
        answering = _backend(
            backend, model, base_url, concurrency, timeout, max_retries, temperature, seed, dry_run=dry_run
        )
        mixes = augmentation.choose_mixes(table, count, gain_db=gain_db, seed=seed)
        if dry_run:
            captions = list(table["caption"])
            pairs = [(captions[one.first], captions[one.second]) for one in mixes]
            _estimate(
                [mix_request(*pair, loaded_prompt, answering, max_words) for pair in pairs],
                price_in,
                price_out,
            )
            return
        summary = augmentation.write_mixes(
            table,
            mixes,
            out,
            answering,
            loaded_prompt,
            max_words=max_words,
            sampling_rate=sampling_rate,
            render=render,
            attempts=attempts,
            progress=progress,
        )
        record = {"task": "mix", "count": count, "gain_db": gain_db, "seed": seed, "rendered": render}
        _finish(out, dataset, split, record, answering, loaded_prompt, summary)


@augment.command("quality")
def quality(
    out: Annotated[Path, typer.Argument(help="Output directory of a finished job.")],
    embed_with: Annotated[
        str,
        typer.Option(
            help="Model that embeds the captions: a saved Auricle model or a sentence-transformers model, by "
            "directory or Hub id."
        ),
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Measure the similarity of new captions to their source captions.

    The result is saved in the job's record (job.json) and appears in the dataset card when you publish the job.
    """
    with _errors():
        from ..data.augmentation.quality import caption_pairs, similarity_to_sources
        from ..files.json_files import write_json
        from ..hub.augmentation_card import JOB
        from ..training.clusters.caption_embedding import embed_captions_with

        pairs = caption_pairs(out)
        job = json.loads((out / JOB).read_text(encoding="utf-8"))
        similarity = similarity_to_sources(
            pairs, lambda texts: embed_captions_with(embed_with, texts, progress=progress)[0]
        )
        write_json(out / JOB, {**job, "similarity": {"model": embed_with, **similarity}})
        typer.echo(
            f"cosine similarity of {similarity['captions']} captions to their sources: mean "
            f"{similarity['mean']:.3f}, 5th percentile {similarity['lowest_twentieth']:.3f}; to the sources of "
            f"other captions: mean {similarity['to_others']:.3f}"
        )


@augment.command("push")
def push(
    out: Annotated[Path, typer.Argument(help="Output directory of a finished job.")],
    repo_id: Annotated[str, typer.Argument(help="Repository on the Hub: owner/name.")],
    private: Annotated[
        bool, typer.Option("--private", help="If the repository is new, make it private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload nothing; print the list of files and the dataset card.")
    ] = False,
) -> None:
    """
    Publish the captions of a job as a dataset on the Hub, with a card.

    The upload contains no audio, no paths and no rejected answers.
    """
    with _errors():
        from ..hub.augmentation_card import collect_augmentation
        from ..hub.publishing import publish

        publication = collect_augmentation(out, repo_id)
        if dry_run:
            for name in publication.files:
                typer.echo(f"{name}: {publication.size(name):,} bytes")
            typer.echo(bytes(publication.files["README.md"]).decode())
            return
        typer.echo(publish(publication, private=private, repo_type="dataset", message="Augmented captions"))


def _errors() -> Any:
    from ..data.augmentation import JobError
    from ..data.augmentation.requests import BackendRefused

    quiet_libraries()
    return one_line_errors(ValueError, OSError, ImportError, JobError, BackendRefused)


def _backend(
    backend: Backend,
    model: str | None,
    base_url: str | None,
    concurrency: int,
    timeout: float,
    max_retries: int,
    temperature: float,
    seed: int,
    *,
    dry_run: bool,
) -> "TextBackend":
    from ..data.augmentation.rule_backend import RuleBackend

    if backend is Backend.rules or dry_run:
        return RuleBackend()
    if model is None and backend is not Backend.translation:
        raise ValueError(f"--backend {backend.value} needs --model.")
    if backend is Backend.openai:
        from ..data.augmentation.openai_backend import OpenAIBackend

        return OpenAIBackend(
            str(model),
            base_url=base_url,
            concurrency=concurrency,
            temperature=temperature,
            timeout=timeout,
            max_retries=max_retries,
            seed=seed,
        )
    from ..data.augmentation.transformers_backend import ChatModelBackend, TranslationModelBackend

    if backend is Backend.chat:
        return ChatModelBackend(str(model), seed=seed)
    return TranslationModelBackend(model) if model else TranslationModelBackend()


def _estimate(requests: "list[TextRequest]", price_in: float | None, price_out: float | None) -> None:
    from ..data.augmentation import estimate_tokens

    sent, received = estimate_tokens(requests)
    typer.echo(
        f"{len(requests)} requests, about {sent:,} input tokens and {received:,} output tokens, "
        "if no answer is rejected"
    )
    if price_in is not None or price_out is not None:
        typer.echo(f"estimated cost: {(sent * (price_in or 0) + received * (price_out or 0)) / 1e6:.2f}")


def _finish(
    out: Path,
    dataset: str,
    split: str,
    record: dict[str, Any],
    backend: "TextBackend",
    prompt: Any,
    summary: "JobSummary",
) -> None:
    from ..files.json_files import write_json

    settings = dict(backend.settings)
    write_json(
        out / "job.json",
        {
            "format": "auricle augmentation",
            "version": 1,
            **record,
            "data_set": dataset,
            "split": split,
            "backend": settings,
            "rule_based": backend.is_rule_based,
            "prompt": {"version": prompt.version, "text": prompt.text},
            "items": summary.items,
            "kept": summary.kept,
            "faults": dict(sorted(summary.faults.items())),
        },
    )
    for line in summary.lines():
        typer.echo(printable(line))
    if backend.is_rule_based:
        typer.echo("these captions come from fixed rules, not from a language model; job.json records this")
    typer.echo(f"wrote {out}")


__all__ = ["augment"]
