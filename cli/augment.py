"""`auricle augment`: more captions and more sounds, by a language model, as jobs that can be killed."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .dataset_argument import HELP, load_dataset_argument
from .failures import one_line_errors, printable, quiet_libraries

if TYPE_CHECKING:
    from ..data.augmentation import JobSummary, TextBackend, TextRequest

augment = typer.Typer(help="Make captions from captions with a language model.", no_args_is_help=True)


class Backend(StrEnum):
    """What answers."""

    rules = "rules"
    openai = "openai"
    chat = "chat"
    translation = "translation"


_BACKEND = typer.Option(
    help="rules: no model, offline. openai: any server of that kind. chat, translation: open models run here."
)
_MODEL = typer.Option(help="The model's name on the server, Hub id or directory.")
_URL = typer.Option(help="Of the server, such as http://127.0.0.1:8000/v1; OpenAI's if not given.")
_CONCURRENCY = typer.Option(min=1, help="Requests to a server at a time.")
_TIMEOUT = typer.Option(min=0.1, help="Seconds to wait for a server's answer.")
_RETRIES = typer.Option(min=0, help="How often a server is asked again after 429, 5xx or a cut connection.")
_TEMPERATURE = typer.Option(min=0.0, max=2.0, help="Of a server's sampling.")
_PROMPT = typer.Option(help="File with a prompt of your own, with the same fields in braces.")
_ATTEMPTS = typer.Option(min=1, help="How often an answer of no use is asked for in all.")
_DRY = typer.Option("--dry-run", help="Ask nothing; say how many requests and tokens it would be.")
_PRICE_IN = typer.Option(min=0.0, help="Price of a million tokens sent, for the estimate.")
_PRICE_OUT = typer.Option(min=0.0, help="Price of a million tokens received.")


@augment.command("back-translate")
def back_translate(
    dataset: Annotated[str, typer.Argument(help=HELP)],
    out: Annotated[Path, typer.Argument(help="Directory of the captions and of the answers so far.")],
    split: Annotated[str, typer.Option(help="Split whose captions are translated.")] = "train",
    backend: Annotated[Backend, _BACKEND] = Backend.rules,
    model: Annotated[str | None, _MODEL] = None,
    base_url: Annotated[str | None, _URL] = None,
    languages: Annotated[str, typer.Option(help="Codes to draw from, with commas.")] = "de,fr,es,it,pt,nl",
    per_caption: Annotated[int, typer.Option(min=1, help="Languages a caption takes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the languages and of the model.")] = 0,
    concurrency: Annotated[int, _CONCURRENCY] = 8,
    timeout: Annotated[float, _TIMEOUT] = 120.0,
    max_retries: Annotated[int, _RETRIES] = 8,
    temperature: Annotated[float, _TEMPERATURE] = 0.7,
    attempts: Annotated[int, _ATTEMPTS] = 3,
    prompt: Annotated[Path | None, _PROMPT] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many captions.")] = None,
    dry_run: Annotated[bool, _DRY] = False,
    price_in: Annotated[float | None, _PRICE_IN] = None,
    price_out: Annotated[float | None, _PRICE_OUT] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Translate every caption into another language and back.

    Training reads the result (augmentation.back_translated of a recipe). Killed and called again, it goes on and
    asks nothing twice.
    """
    with _errors():
        from ..data import augmentation
        from ..data.augmentation.back_translation import ENGLISH, translation_request

        table = load_dataset_argument(dataset, split=split, captions_only=True, progress=progress)[split]
        table = table if limit is None else table.select(range(min(limit, len(table))))
        told = augmentation.load_prompt("translate", prompt)
        answering = _backend(
            backend, model, base_url, concurrency, timeout, max_retries, temperature, seed, dry_run=dry_run
        )
        codes = [code.strip() for code in languages.split(",") if code.strip()]
        if dry_run:
            requests = [
                translation_request(caption, ENGLISH, codes[0], told, answering)
                for caption in table["caption"]
            ]
            # There and back, about as long.
            _estimate(requests * 2 * per_caption, price_in, price_out)
            return
        summary = augmentation.back_translate(
            table,
            out,
            answering,
            told,
            languages=codes,
            per_caption=per_caption,
            seed=seed,
            attempts=attempts,
            progress=progress,
        )
        record = {"task": "back-translate", "languages": codes, "per_caption": per_caption, "seed": seed}
        _finish(out, dataset, split, record, answering, told, summary)


@augment.command("mix")
def mix(
    dataset: Annotated[str, typer.Argument(help=HELP)],
    out: Annotated[Path, typer.Argument(help="Directory: becomes a captioned folder of the mixes.")],
    count: Annotated[int, typer.Option(min=1, help="Mixes to make; the report made 50,000.")],
    split: Annotated[str, typer.Option(help="Split whose clips are mixed.")] = "train",
    backend: Annotated[Backend, _BACKEND] = Backend.rules,
    model: Annotated[str | None, _MODEL] = None,
    base_url: Annotated[str | None, _URL] = None,
    gain_db: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="The second sound is up to so much louder or softer.")
    ] = 5.0,
    sampling_rate: Annotated[int, typer.Option(min=8000, max=192_000, help="Of the mixes, Hz.")] = 32_000,
    render: Annotated[
        bool, typer.Option("--render", help="Store the mixes as FLAC; else they are rendered when read.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of pairs, gains, places and of the model.")] = 0,
    concurrency: Annotated[int, _CONCURRENCY] = 8,
    timeout: Annotated[float, _TIMEOUT] = 120.0,
    max_retries: Annotated[int, _RETRIES] = 8,
    temperature: Annotated[float, _TEMPERATURE] = 0.7,
    attempts: Annotated[int, _ATTEMPTS] = 3,
    max_words: Annotated[int, typer.Option(min=4, max=60, help="Longest merged caption.")] = 40,
    prompt: Annotated[Path | None, _PROMPT] = None,
    dry_run: Annotated[bool, _DRY] = False,
    price_in: Annotated[float | None, _PRICE_IN] = None,
    price_out: Annotated[float | None, _PRICE_OUT] = None,
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Mix pairs of sounds and merge their captions into one.

    The result is a captioned folder: train on it beside other data sets (data.source: [clotho, folder]). Killed
    and called again, it goes on and asks nothing twice.
    """
    with _errors():
        from ..data import augmentation
        from ..data.augmentation.caption_mixing import mix_request

        table = load_dataset_argument(dataset, split=split, progress=progress)[split]
        told = augmentation.load_prompt("mix", prompt)
        answering = _backend(
            backend, model, base_url, concurrency, timeout, max_retries, temperature, seed, dry_run=dry_run
        )
        mixes = augmentation.choose_mixes(table, count, gain_db=gain_db, seed=seed)
        if dry_run:
            captions = list(table["caption"])
            pairs = [(captions[one.first], captions[one.second]) for one in mixes]
            _estimate([mix_request(*pair, told, answering, max_words) for pair in pairs], price_in, price_out)
            return
        summary = augmentation.write_mixes(
            table,
            mixes,
            out,
            answering,
            told,
            max_words=max_words,
            sampling_rate=sampling_rate,
            render=render,
            attempts=attempts,
            progress=progress,
        )
        record = {"task": "mix", "count": count, "gain_db": gain_db, "seed": seed, "rendered": render}
        _finish(out, dataset, split, record, answering, told, summary)


@augment.command("quality")
def quality(
    out: Annotated[Path, typer.Argument(help="Directory of a finished job.")],
    embed_with: Annotated[
        str, typer.Option(help="Directory of a model of ours, or a sentence-transformers model.")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    progress: Annotated[bool, typer.Option(help="Show progress bars.")] = True,
) -> None:
    """
    Say how near the new captions are to their sources.

    The figure joins the job's record, and its card when it is published.
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
            f"cosine similarity to the sources over {similarity['captions']} captions: mean "
            f"{similarity['mean']:.3f}, lowest twentieth {similarity['lowest_twentieth']:.3f}, to other captions' "
            f"sources {similarity['to_others']:.3f}"
        )


@augment.command("push")
def push(
    out: Annotated[Path, typer.Argument(help="Directory of a finished job.")],
    repo_id: Annotated[str, typer.Argument(help="Where on the Hub, owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Upload nothing; show files and card.")] = False,
) -> None:
    """
    Publish a job's captions as a data set with a card.

    No sounds, no paths and no unused answers leave the machine.
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
        f"{len(requests)} requests, about {sent:,} tokens sent and {received:,} received, if each is of use at once"
    )
    if price_in is not None or price_out is not None:
        typer.echo(
            f"about {(sent * (price_in or 0) + received * (price_out or 0)) / 1e6:.2f} at these prices"
        )


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
        typer.echo("made by rules, not by a language model: marked so in job.json")
    typer.echo(f"wrote {out}")


__all__ = ["augment"]
