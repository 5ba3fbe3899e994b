"""The file by which commands find a running engine: one per index, readable only by its user, with a lock."""

import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: commands then always open the index themselves.
    fcntl = None  # type: ignore[assignment]

from ... import __version__
from ..errors import SearchError

FOLDER_VARIABLE = "AURICLE_RUNTIME_DIR"
# A command holds the lock for a moment while it looks whether an engine does.
LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class EngineAddress:
    """
    Address and token that commands need to query an engine.

    Attributes:
        host, port: address of the server.
        pid: id of its process.
        token: lets the user's own programs ask about any file that the user can read.
        index: directory of the index, links resolved.
        options: settings that affect results besides the index; see [`engine_options`].
        version: version of auricle.
    """

    host: str
    port: int
    pid: int
    token: str
    index: str
    options: Mapping[str, Any]
    version: str = __version__


def engine_options(
    *, text_tower: str | os.PathLike[str] | None, template: str | None, trust_remote_code: bool
) -> dict[str, Any]:
    """
    Settings that affect results besides the index's contents, so that an engine and a command can be compared.

    Args:
        text_tower: directory of an exported text tower, or None.
        template: template of short queries; None is the default.
        trust_remote_code: whether the model's own code may run.
    """
    return {
        "text_tower": None if text_tower is None else os.path.realpath(text_tower),
        "template": template,
        "trust_remote_code": trust_remote_code,
    }


def runtime_folder() -> Path:
    """The folder of port files: ``AURICLE_RUNTIME_DIR``, or ``auricle`` in the user's runtime directory."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isdir(base):
        return Path(base) / "auricle"
    return Path(tempfile.gettempdir()) / f"auricle-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def is_private(status: os.stat_result) -> bool:
    """Whether a folder or file belongs to this user, and no other user can read or write it."""
    return status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077


class EngineRegistration:
    """
    Makes an engine known to the commands of its user, until [`close`] or the end of the process.

    A held lock shows that the engine runs, since the system releases it when the process ends. Of two engines of one
    index, the first one keeps its port file; the second one serves its page and its API, and commands do not use it.

    Args:
        index: directory of the index.

    Raises:
        SearchError: if another engine of this index is registered, the folder is accessible to others or cannot be
            written; the message says which.
    """

    def __init__(self, index: str | os.PathLike[str]):
        self.index = os.path.realpath(index)
        if fcntl is None:
            raise SearchError("commands cannot use an engine on this system.")
        self._path, lock = _files(self.index)
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = os.lstat(folder)
            if not stat.S_ISDIR(status.st_mode) or not is_private(status):
                raise SearchError(
                    f"{folder}: must be a folder that only this user can access (mode 0700); "
                    "commands do not use this engine."
                )
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SearchError(
                f"{folder}: cannot be written ({error.strerror or error}); commands do not use this engine."
            ) from error
        if not _take(self._lock):
            os.close(self._lock)
            raise SearchError(_taken(self._path))
        self._path.unlink(missing_ok=True)

    def publish(self, address: EngineAddress) -> None:
        """
        Writes the port file atomically, with mode 0600.

        Raises:
            SearchError: if it cannot be written.
        """
        fresh = self._path.with_suffix(".partial")
        try:
            fresh.unlink(missing_ok=True)
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(asdict(address), file)
            os.replace(fresh, self._path)
        except OSError as error:
            raise SearchError(
                f"{self._path}: cannot be written ({error.strerror or error}); commands do not use this engine."
            ) from error

    def close(self) -> None:
        """Removes the port file and releases the lock."""
        if self._lock >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1


def new_token() -> str:
    """A random token."""
    return secrets.token_urlsafe(32)


def running_engine(index: str | os.PathLike[str]) -> EngineAddress | None:
    """
    The running engine of an index, found by its port file; None if none runs, or if other users can write its files.

    Args:
        index: directory of the index.
    """
    if fcntl is None:
        return None
    index = os.path.realpath(index)
    path, lock = _files(index)
    try:
        # Usually no engine was ever started here: check that first, since it is cheap.
        held = os.open(lock, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        pass
    else:
        return None
    finally:
        os.close(held)
    try:
        if not is_private(os.lstat(path.parent)):
            return None
        address = _read(path)
    except (OSError, ValueError, TypeError):
        return None
    return address if address.index == index else None


def _read(path: Path) -> EngineAddress:
    """
    Raises:
        OSError: if there is no file, or others can read it.
        ValueError, TypeError: if it is damaged, or of another version.
    """
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), encoding="utf-8") as file:
        if not is_private(os.fstat(file.fileno())):
            raise PermissionError(f"{path}: others can read it")
        return EngineAddress(**json.load(file))


def _files(index: str) -> tuple[Path, Path]:
    name = hashlib.sha256(os.fsencode(index)).hexdigest()[:24]
    folder = runtime_folder()
    return folder / f"{name}.json", folder / f"{name}.lock"


def _take(lock: int) -> bool:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)


def _taken(path: Path) -> str:
    try:
        address = _read(path)
        where = f"process {address.pid}, http://{address.host}:{address.port}"
    except (OSError, ValueError, TypeError):
        where = "it is starting"
    return f"another engine already serves this index ({where}); commands use that one."


__all__ = [
    "EngineAddress",
    "EngineRegistration",
    "engine_options",
    "is_private",
    "new_token",
    "running_engine",
    "runtime_folder",
]
