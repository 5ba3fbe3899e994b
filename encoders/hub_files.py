"""Locates a model's files: a directory, or a repository of the Hub at one commit."""

import os
from dataclasses import dataclass
from pathlib import Path

from .interface import EncoderError
from .onnx_towers import RECORD_FILE

# Configuration files of a repository, fetched before any weights.
DESCRIBING_FILES = ("*config*.json", "modules.json", RECORD_FILE, "README.md")


@dataclass(frozen=True)
class ModelFiles:
    """
    Attributes:
        name: a directory or a Hub id, without a revision.
        revision: commit of the Hub repository, 40 hexadecimal digits; None for a directory.
        directory: directory of the model's configuration files; for a repository, in the cache.
        reachable: whether more files of a repository can be fetched; if not, only those in the cache are available.
    """

    name: str
    revision: str | None
    directory: Path
    reachable: bool = True


def split_revision(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """
    Splits ``owner/name@revision`` into (id, revision); names of directories stay unchanged.

    Args:
        name: a directory or a Hub id.
        revision: given separately.

    Raises:
        EncoderError: if both name a revision and they differ, or a part is empty.
    """
    if "@" not in name or Path(name).is_dir():
        return name, revision
    repository, _, own = name.rpartition("@")
    if not repository or not own:
        raise EncoderError(f"{name}: write owner/name@revision, with a branch, a tag or a commit.")
    if revision is not None and revision != own:
        raise EncoderError(f"{name}: the name contains another revision than the argument, {revision!r}.")
    return repository, own


def find_model_files(name: str | os.PathLike[str], revision: str | None = None) -> ModelFiles:
    """
    Finds a model, and fetches the configuration files of a Hub repository.

    If the Hub cannot be reached, the cached repository is used.

    Args:
        name: a directory, ``owner/name`` or ``owner/name@revision``.
        revision: branch, tag or commit of a Hub repository; not read for a directory.

    Raises:
        EncoderError: one line, if there is no such directory and no such repository or revision, it may not be
            read, or it is not in the cache while the Hub cannot be reached; the message names the remedies.
    """
    if not os.fspath(name):
        raise EncoderError("a model's name is empty; expected a directory or a Hub id.")
    name, revision = split_revision(os.fspath(name), revision)
    if Path(name).is_dir():
        return ModelFiles(name, None, Path(name))
    if Path(name).is_file():
        raise EncoderError(f"{name}: is a file; expected a model's directory or a Hub id.")
    return _fetched(name, revision, DESCRIBING_FILES)


def fetch_all(files: ModelFiles) -> ModelFiles:
    """
    The directory with all files of a repository, for models that load from directories only.

    Raises:
        EncoderError: as [`find_model_files`].
    """
    if files.revision is None:
        return files
    return _fetched(files.name, files.revision, None)


def _fetched(name: str, revision: str | None, patterns: tuple[str, ...] | None) -> ModelFiles:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    at = "" if revision is None else f" at revision {revision!r}"
    silent = are_progress_bars_disabled()
    if patterns is not None:
        disable_progress_bars()  # these files are small
    try:
        try:
            directory, reachable = snapshot_download(name, revision=revision, allow_patterns=patterns), True
        except Exception as error:
            # The client uses the cache if the server does not respond, but not if a response is cut off.
            if not is_broken_connection(error):
                raise
            directory = snapshot_download(name, revision=revision, local_files_only=True)
            reachable = False
        return ModelFiles(name, Path(directory).name, Path(directory), reachable)
    except HFValidationError as error:
        raise EncoderError(f"{name}: not a directory, and not a valid Hub id.") from error
    except GatedRepoError as error:
        raise EncoderError(
            f"{name}: is gated. Accept its terms at {constants.ENDPOINT}/{name}, and log in with `hf auth login` "
            "or set HF_TOKEN to a token of that account."
        ) from error
    except RevisionNotFoundError as error:
        raise EncoderError(f"{name}: has no branch, tag or commit {revision!r} on the Hub.") from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"{name}: not a directory, and the Hub has no such repository, or it is private and needs a "
            "token (`hf auth login`, or HF_TOKEN)."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, HfHubHTTPError) as error:
        if constants.HF_HUB_OFFLINE:
            reason, way = "HF_HUB_OFFLINE is set", "unset it"
        else:
            reason, way = f"{constants.ENDPOINT} cannot be reached", "connect this machine"
        raise EncoderError(
            f"{name}: not a directory, and from the Hub it cannot be loaded{at}: it is not in the cache "
            f"({constants.HF_HUB_CACHE}) and {reason}. Ways out: {way} once, copy the cache from a machine that "
            "has it, or name a model's directory."
        ) from error
    finally:
        if patterns is not None and not silent:
            enable_progress_bars()


def is_broken_connection(error: BaseException) -> bool:
    """Whether an error is one of the HTTP library of the Hub's client, which has changed its library before."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests", "urllib3")


__all__ = [
    "DESCRIBING_FILES",
    "ModelFiles",
    "fetch_all",
    "find_model_files",
    "is_broken_connection",
    "split_revision",
]
