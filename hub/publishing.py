"""A trained model as one commit on the Hub: what goes there, what never does, and whether it may."""

import hashlib
import importlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from ..conversion.finite_weights import NonFiniteWeightsError, check_finite_files
from ..files.saved_directories import read_json
from ..training.models.pretrained_text import looks_like_path
from ..training.recipe.reading import resolve_stages
from ..training.recipe.schema import Recipe
from .licenses import derive_license
from .model_card import CardError, first_weights, render_model_card, without_places

# All that a model directory may give to the Hub; optimisers, caches and logs have other names.
_ALLOWED = re.compile(
    r"(config|processor_config|tokenizer|tokenizer_config|generation_config|model\.safetensors\.index|"
    r"preprocessor_config|added_tokens|special_tokens_map|vocab)\.json|(vocab|merges)\.txt|[a-z_]+\.py|"
    r"model(-\d+-of-\d+)?\.safetensors|sentencepiece\.bpe\.model|spiece\.model"
)
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
# So that sentence-transformers need not guess: texts and sounds into one space, compared by their cosine.
SENTENCE_TRANSFORMERS = {
    "modules.json": [
        {
            "idx": 0,
            "name": "0",
            "path": "",
            "type": "sentence_transformers.base.modules.transformer.Transformer",
        }
    ],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "get_text_features", "method_output_name": "pooler_output"},
            "audio": {"method": "get_audio_features", "method_output_name": "pooler_output"},
        },
        "module_output_name": "sentence_embedding",
    },
    "config_sentence_transformers.json": {
        "model_type": "SentenceTransformer",
        "similarity_fn_name": "cosine",
        "prompts": {},
        "default_prompt_name": None,
    },
}
_LOCAL_PATH = re.compile(rb"(?<![\w/.:])/(?:home|Users|root|mnt|data|scratch|tmp|work|media|srv|var)/[\w.-]+")


class PublishError(ValueError):
    """Raised if something cannot be published; the message gives the reason. Nothing was uploaded."""


@dataclass
class Publication:
    """
    Attributes:
        repo_id: ``owner/name``.
        files: by path in the repository, a file here or its content.
        warnings: what a person should look at.
    """

    repo_id: str
    files: dict[str, Path | bytes]
    warnings: list[str] = field(default_factory=list)

    def size(self, path: str) -> int:
        """Bytes of one of the files."""
        content = self.files[path]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def collect_run(
    run_dir: str | os.PathLike[str],
    repo_id: str,
    *,
    stage: str | None = None,
    license: str | None = None,
    allow_unevaluated: bool = False,
    adapter_of: str | None = None,
) -> Publication:
    """
    Everything that goes to the Hub of a finished run.

    Model, processor, code, cluster description, recipe, training log, evaluation, card, and what
    sentence-transformers wants; no optimiser, cache, checkpoint, sound, token or path of this machine.

    Args:
        run_dir: run directory of `train.py`.
        repo_id: ``owner/name``.
        stage: whose model to publish; the last stage's if not given.
        license: for the card, instead of the one derived from data and encoders.
        allow_unevaluated: publish a run without a test split.
        adapter_of: publish only the LoRA adapters, on top of this model's Hub id.

    Raises:
        PublishError: if it is not a run, not finished or not evaluated, has no adapters although they are requested,
            its weights contain NaN or infinity, the name is not valid for a repository, or a file contains a path of
            this machine.
    """
    run_dir = Path(run_dir)
    check_repo_id(repo_id)
    record = read_json(run_dir / "run.json")
    if record is None:
        raise PublishError(
            f"{run_dir}: neither run.json nor config.json found; give the directory of a finished run, or of a model."
        )
    recipe = Recipe.model_validate(record["recipe"])
    names = recipe.stage_names()
    stage = stage or names[-1]
    if stage not in names:
        raise PublishError(f"--stage {stage!r}: no such stage in this run; the stages are {names}.")
    summary, model_dir = read_json(run_dir / stage / "stage.json"), run_dir / stage / "model"
    if summary is None or not (model_dir / "config.json").is_file():
        raise PublishError(f"{run_dir}: stage {stage!r} is not finished; run the recipe to its end first.")
    results = read_json(run_dir / "results.json") if stage == names[-1] else None
    if not (results or {}).get("figures") and not allow_unevaluated:
        raise PublishError(
            f"{run_dir}: stage {stage!r} was not evaluated: no results.json with metrics of a test split found. "
            "Evaluate it, or publish it without metrics with --allow-unevaluated."
        )
    try:
        check_finite_files(model_dir / "adapter" if adapter_of is not None else model_dir)
    except NonFiniteWeightsError as error:
        raise PublishError(f"{error} Nothing was published.") from error
    found = derive_license(_licenses(run_dir, stage), _first_weights(recipe, run_dir, stage))
    try:
        card = render_model_card(run_dir, stage=stage, repo_id=repo_id, license=license or found.license)
    except CardError as error:
        raise PublishError(str(error)) from error
    files: dict[str, Path | bytes] = {"README.md": card.encode()}
    if adapter_of is not None:
        check_repo_id(adapter_of)
        files |= _adapter_files(model_dir / "adapter", adapter_of)
    else:
        files |= model_files(model_dir)
        files |= {name: as_json(value) for name, value in SENTENCE_TRANSFORMERS.items()}
    files["recipe.yaml"] = yaml.safe_dump(without_places(record["recipe"]), sort_keys=False).encode()
    files["training_log.json"] = _compact(_training_log(recipe, run_dir))
    if results:
        kept = {
            name: results[name]
            for name in ("figures", "intervals", "untrained", "relevance_column", "evaluated")
            if results.get(name)
        }
        files["evaluation.json"] = _compact(kept)
    clusters = {
        name: without_places(entry["clusters"])
        for name in names
        if (entry := read_json(run_dir / name / "stage.json")) and entry.get("clusters")
    }
    if clusters:
        files["clusters.json"] = _compact(clusters)
    publication = Publication(repo_id, dict(sorted(files.items())), [] if license else found.warnings)
    refuse_local_paths(publication)
    return publication


def check_repo_id(repo_id: str) -> None:
    """
    Raises:
        PublishError: if this cannot be ``owner/name`` on the Hub.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(f"{repo_id!r} is not a repository name: {error}") from error
    if "/" not in repo_id:
        raise PublishError(f"{repo_id!r} is not a repository name: expected owner/name.")


def publish(
    publication: Publication,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    overwrite: bool = False,
    repo_type: str = "model",
    message: str | None = None,
) -> str:
    """
    Uploads in one commit; a failed upload leaves the repository as it was, and can be repeated.

    Args:
        publication: what [`collect_run`] gathered.
        private: of a new repository.
        revision: a branch, made if missing; the main one if not given.
        create_pr: propose the commit instead of making it.
        overwrite: replace a repository's other weights.
        repo_type: ``model``, ``dataset`` or ``space``.
        message: message of the commit.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        PublishError: without a token or the right to write, if the repository has other weights, or the Hub
            cannot be reached or refuses.
    """
    if get_token() is None:
        raise PublishError("no access token for the Hub found: run `hf auth login`, or set HF_TOKEN.")
    api, repo_id = HfApi(), publication.repo_id
    operations = [
        CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
        for path, content in publication.files.items()
    ]
    try:
        api.whoami()
        _refuse_other_weights(api, publication, revision, overwrite or create_pr, repo_type)
        options = {"space_sdk": "gradio"} if repo_type == "space" else {}
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True, **options)
        if revision is not None and not create_pr:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            operations,
            commit_message=message or f"Upload {repo_id.split('/')[-1]}",
            repo_type=repo_type,
            revision=None if create_pr else revision,
            create_pr=create_pr,
        )
    except PublishError:
        raise
    except (HfHubHTTPError, *_transport_errors(), OSError, RuntimeError, ValueError) as error:
        raise PublishError(f"{repo_id}: cannot publish: {_reason(error)}") from error
    return str(commit.pr_url or commit.commit_url)


def _refuse_other_weights(
    api: HfApi, publication: Publication, revision: str | None, allowed: bool, repo_type: str
) -> None:
    ours = {path: content for path, content in publication.files.items() if path.endswith(".safetensors")}
    if allowed or not ours:
        return
    try:
        there = {
            entry.path: entry
            for entry in api.get_paths_info(publication.repo_id, list(ours), revision=revision)
        }
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError):
        return
    for path, entry in there.items():
        content = ours[path]
        same_size = entry.size == publication.size(path)
        lfs = getattr(entry, "lfs", None)
        known = lfs.sha256 if lfs else None
        if not same_size or (known is not None and known != _sha256(content)):
            raise PublishError(
                f"{publication.repo_id}: the repository already has other weights ({path}). Choose another name or "
                "--revision, open a pull request with --create-pr, or replace the weights with --overwrite."
            )


def model_files(model_dir: Path) -> dict[str, Path | bytes]:
    """The published files of a model directory, by name; settings without the paths that parts were loaded from."""
    allowed = (path for path in sorted(model_dir.iterdir()) if _ALLOWED.fullmatch(path.name))
    return {path.name: as_json(_settings(path)) if _is_settings(path) else path for path in allowed}


def _adapter_files(directory: Path, base: str) -> dict[str, Path | bytes]:
    if not (directory / _ADAPTER[0]).is_file():
        raise PublishError(f"{directory}: the stage has no adapters; it was not trained with training.lora.")
    settings = json.loads((directory / _ADAPTER[0]).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = base
    return {_ADAPTER[0]: as_json(settings), _ADAPTER[1]: directory / _ADAPTER[1]}


def _is_settings(path: Path) -> bool:
    return path.suffix == ".json" and path.name.split(".")[0] in (
        "config",
        "tokenizer_config",
        "processor_config",
        "preprocessor_config",
    )


def _settings(path: Path) -> Any:
    """A settings file, in which transformers notes where a part of the model was loaded from."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, list):
            return [cleaned(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        return {
            key: Path(inner).name
            if key in ("_name_or_path", "name_or_path") and looks_like_path(str(inner))
            else cleaned(inner)
            for key, inner in value.items()
        }

    return cleaned(json.loads(path.read_text(encoding="utf-8")))


def _licenses(run_dir: Path, stage: str) -> dict[str, int]:
    return read_json(run_dir / stage / "licenses.json") or {"unknown": 1}


def _first_weights(recipe: Recipe, run_dir: Path, stage: str) -> dict[str, str]:
    stages = resolve_stages(recipe)
    stages = stages[: [entry.name for entry in stages].index(stage) + 1]
    return first_weights(
        stages, {entry.name: read_json(run_dir / entry.name / "stage.json") or {} for entry in stages}
    )


def _training_log(recipe: Recipe, run_dir: Path) -> list[dict[str, Any]]:
    log = []
    for stage in resolve_stages(recipe):
        summary = read_json(run_dir / stage.name / "stage.json") or {}
        names = ("steps", "epochs", "seconds", "last_loss", "best", "parameters", "hardware")
        # The speed of an evaluation describes the machine, not the model.
        entries = [
            {key: value for key, value in entry.items() if not key.endswith(("_runtime", "_per_second"))}
            for entry in summary.get("log", [])
        ]
        kept = {name: summary[name] for name in names if name in summary}
        log.append({"stage": stage.name, **kept, "log": entries})
    return log


def refuse_local_paths(publication: Publication) -> None:
    """
    Raises:
        PublishError: if a text file contains a path of this machine.
    """
    for name, content in publication.files.items():
        if name.endswith((".safetensors", ".py", "tokenizer.json", ".txt", ".model")):
            continue
        text = content if isinstance(content, bytes) else content.read_bytes()
        found = _LOCAL_PATH.search(text)
        if found:
            raise PublishError(
                f"{name} contains a path of this machine, {found[0].decode()!r}; nothing was published."
            )


def _sha256(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with open(content, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_json(value: Any) -> bytes:
    """A value as the content of a JSON file."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the Hub's client lets through when a connection breaks; it has changed its HTTP library before."""
    found = []
    for name in ("httpx2", "httpx", "requests"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        found.append(getattr(module, "HTTPError", None) or module.RequestException)
    return tuple(found)


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    told = {
        401: "the token is not valid",
        403: "the token has no write access",
        409: "the repository has changed in the meantime; try again",
    }.get(status)
    text = " ".join(str(error).split())[:300]
    return f"{told} ({text})" if told else text or type(error).__name__


__all__ = [
    "SENTENCE_TRANSFORMERS",
    "Publication",
    "PublishError",
    "as_json",
    "check_repo_id",
    "collect_run",
    "model_files",
    "publish",
    "refuse_local_paths",
]
