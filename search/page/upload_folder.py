"""Where sounds are that visitors upload to ask by: one folder a server, limited, and removed at its end."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

TOTAL_MEGABYTES = 2_000
VARIABLE, PREFIX, LOCK = "GRADIO_TEMP_DIR", "auricle-", ".in-use.lock"
UPLOAD_PATHS = ("/gradio_api/upload", "/upload")


class UploadFolder:
    """
    A folder of this process within Gradio's own; what earlier processes left when they crashed goes before it is made.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self) -> None:
        self.base = Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir()) / "gradio")
        self.base.mkdir(parents=True, exist_ok=True)
        for left in self.base.glob(f"{PREFIX}*"):
            _remove_unused(left)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.base))
        self._lock = FileLock(self.path / LOCK)
        self._lock.acquire()

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Meanwhile made pages and applications of Gradio keep uploads here."""
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self.path)
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before

    def size(self) -> int:
        """Bytes that are here."""
        found = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                try:
                    found += os.path.getsize(os.path.join(folder, name))
                except OSError:
                    continue
        return found

    def remove(self) -> None:
        """Takes everything away."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def limit(self, megabytes: int = TOTAL_MEGABYTES) -> Any:
        """Middleware that refuses uploads beyond a number of megabytes in all."""
        from starlette.middleware import Middleware

        return Middleware(TotalUploadLimit, folder=self, limit=megabytes * 1_000_000)


class TotalUploadLimit:
    """
    Refuses an upload once the folder's contents, other uploads and this one exceed the limit together.

    Args:
        app: an ASGI application.
        folder: where uploads are.
        limit: bytes in all.
    """

    def __init__(self, app: Any, *, folder: UploadFolder, limit: int):
        self.app, self.folder, self.limit = app, folder, limit
        self._coming = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See the ASGI specification, version 3."""
        upload = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in UPLOAD_PATHS
        if not upload:
            await self.app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        headers = dict(scope["headers"])
        told = headers.get(b"content-length", b"")
        length = int(told) if told.isdigit() else None
        there = self.folder.size() + self._coming
        if length is None or there + length > self.limit:
            said = f"At most {self.limit // 1_000_000:,} MB can be uploaded in all until the server is restarted."
            status = 411 if length is None else 413
            await PlainTextResponse(said, status_code=status)(scope, receive, send)
            return
        self._coming += length
        try:
            # A server takes no more bytes from a connection than the announced length.
            await self.app(scope, receive, send)
        finally:
            self._coming -= length


def _remove_unused(folder: Path) -> None:
    """Takes a folder away whose process has ended, and leaves one in use."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["TOTAL_MEGABYTES", "TotalUploadLimit", "UploadFolder"]
