"""A publisher's file server on loopback: ranges and tags, and the ways in which real ones fail."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Behaviour:
    """
    Attributes:
        ranges: answer 206 to a request for a part.
        tags: send an ETag and heed If-Range.
        cut_after: bytes of its answer after which the connection is cut, one entry a GET; None sends all of it.
        status: HTTP status in place of an answer, one entry a GET; 0 answers.
        retry_after: seconds, sent with such a status.
        heads: answer HEAD; 405 otherwise.
        lengths: tell the length.
    """

    ranges: bool = True
    tags: bool = True
    cut_after: list[int | None] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    retry_after: int | None = None
    heads: bool = True
    lengths: bool = True


class FileServer(ThreadingHTTPServer):
    """
    Attributes:
        files: contents by path.
        behaviour: of every file.
        requests: (method, path, Range header or None), in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.behaviour = Behaviour()
        self.requests: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        """Of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges_asked(self) -> list[str | None]:
        """Range headers of the GET requests."""
        return [asked for method, _, asked in self.requests if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *arguments) -> None:
        """Nothing."""

    def _answer(self) -> None:
        path, asked = urlsplit(self.path).path, self.headers.get("Range")
        self.server.requests.append((self.command, path, asked))
        how = self.server.behaviour
        content = self.server.files.get(path)
        status = how.status.pop(0) if self.command == "GET" and how.status else 0
        if self.command == "HEAD" and not how.heads:
            status = 405
        if content is None:
            status = 404
        if status:
            extra = {} if how.retry_after is None else {"Retry-After": str(how.retry_after)}
            self._head(status, {"Content-Length": "0", **extra})
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": tag} if how.tags else {}
        found = re.fullmatch(r"bytes=(\d+)-", asked or "") if how.ranges else None
        if found and self.headers.get("If-Range") not in (None, tag):
            found = None
        first = int(found[1]) if found else 0
        if found and first >= len(content):
            self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        if found:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        if how.lengths:
            headers["Content-Length"] = str(len(body))
        else:
            self.close_connection = True
            headers["Connection"] = "close"
        self._head(206 if found else 200, headers)
        if self.command == "HEAD":
            return
        cut = how.cut_after.pop(0) if how.cut_after else None
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A running server."""
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["Behaviour", "FileServer", "file_server"]
