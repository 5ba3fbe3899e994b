"""Downloads one file over HTTP: resumes partial downloads, and moves the file into place once its checksum is right."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tqdm.auto import tqdm

from ...files.json_files import write_json
from ...files.replacing import replace_path
from ..schema import DataError

# What a server may say and mean later.
_LATER = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0


class FetchError(DataError):
    """A file that cannot be downloaded; the message names its address and what to do."""


class _TryAgain(Exception):
    """The connection was cut, or the server asks to come back; it may say in how many seconds."""

    def __init__(self, reason: str, seconds: float | None = None):
        super().__init__(reason)
        self.seconds = seconds


@contextmanager
def http_client() -> Iterator[httpx.Client]:
    """A client that follows redirects; tokens are only sent to their own host."""
    agent = {"User-Agent": "auricle", "Accept-Encoding": "identity"}
    with httpx.Client(
        follow_redirects=True, timeout=httpx.Timeout(60.0, connect=20.0), headers=agent
    ) as client:
        yield client


def remote_size(client: httpx.Client, url: str) -> int | None:
    """
    Size in bytes of a publisher's file; None if the server does not state it.

    Raises:
        FetchError: if the server cannot be reached, or has no such file.
    """
    try:
        response = client.head(url)
    except httpx.TransportError as error:
        raise FetchError(f"{url}: cannot be reached ({_reason(error)}).") from error
    if response.status_code in (404, 410):
        raise FetchError(f"{url}: HTTP {response.status_code}; the publisher has no such file any more.")
    length = response.headers.get("Content-Length", "")
    return int(length) if response.is_success and length.isdecimal() else None


def download(
    url: str,
    place: Path,
    *,
    client: httpx.Client,
    checksum: str | None = None,
    attempts: int = 5,
    wait: float = 1.0,
    progress: bool = True,
) -> bool:
    """
    Downloads one file.

    The part downloaded so far is in ``<place>.partial``. Cut connections and HTTP 408, 429 and 5xx are
    retried from there, with growing pauses. A later call also continues from there, if the server supports
    ranges and still has the same file.

    Args:
        url: http or https.
        place: path of the file; an existing file is kept.
        client: HTTP client from [`http_client`].
        checksum: ``md5:...`` or ``sha256:...``; None checks only the length.
        attempts: number of consecutive tries without progress.
        wait: seconds before the second try; doubled each time.
        progress: show a progress bar.

    Returns:
        Whether anything was downloaded; False if the file existed.

    Raises:
        FetchError: if the server has no such file, keeps failing, the disk is too small, or the checksum is wrong,
            also of a file that already existed.
    """
    if place.is_file():
        wrong = checksum and _wrong_checksum(place, checksum)
        if wrong:
            raise FetchError(
                f"{place}: differs from the publisher's file ({wrong}); move it away to fetch it."
            )
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f"{place.name}.partial")
    note = place.with_name(f"{place.name}.partial.json")
    failures, furthest = 0, 0
    while True:
        try:
            _go_on(url, partial, note, client, progress)
            break
        except (_TryAgain, httpx.TransportError) as error:
            size = partial.stat().st_size if partial.is_file() else 0
            # A server without range requests starts from 0 again: only new bytes count as progress.
            failures = 0 if size > furthest else failures + 1
            furthest = max(size, furthest)
            if failures >= attempts:
                raise FetchError(
                    f"{url}: given up after {attempts} attempts ({_reason(error)}); {size:,} bytes are kept, and the "
                    "same command resumes."
                ) from error
            pause = getattr(error, "seconds", None)
            time.sleep(min(_LONGEST_WAIT, wait * 2**failures if pause is None else pause))
        except httpx.HTTPError as error:
            raise FetchError(f"{url}: cannot be fetched ({_reason(error)}).") from error
    wrong = checksum and _wrong_checksum(partial, checksum)
    if wrong:
        partial.unlink()
        note.unlink(missing_ok=True)
        raise FetchError(f"{url}: {wrong}; the download was deleted. Run the command again.")
    replace_path(partial, place)
    note.unlink(missing_ok=True)
    return True


def _go_on(url: str, partial: Path, note: Path, client: httpx.Client, progress: bool) -> None:
    """One request for the missing part of a file; returns when the file is complete."""
    known = _read_note(note, url)
    if not known:
        partial.unlink(missing_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and known.get("validator"):
        headers["If-Range"] = known["validator"]
    with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status == 416:
            if _total(response) == have:
                return
            partial.unlink(missing_ok=True)
            raise _TryAgain("the server has less of the file than was fetched", 0.0)
        if status in _LATER:
            raise _TryAgain(f"HTTP {status}", _retry_after(response))
        if status not in (200, 206):
            what = "; the publisher has no such file any more" if status in (404, 410) else ""
            raise FetchError(f"{url}: HTTP {status}{what}.")
        total = _total(response)
        first = _first_byte(response) if status == 206 else 0
        if first not in (0, have) or (have and first and known.get("total") not in (None, total)):
            partial.unlink(missing_ok=True)
            raise _TryAgain("the server sent another part than requested", 0.0)
        write_json(note, {"url": url, "validator": _validator(response), "total": total})
        _check_disk(partial.parent, None if total is None else total - first, url)
        bar = tqdm(
            total=total,
            initial=first,
            desc=partial.name.removesuffix(".partial"),
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        with bar, open(partial, "ab" if first else "wb") as file:
            # As it comes: what a fixed size would gather is lost with the connection.
            for piece in response.iter_raw():
                file.write(piece)
                bar.update(len(piece))
    size = partial.stat().st_size
    if total is not None and size != total:
        if size > total:
            partial.unlink()
        raise _TryAgain(f"{size:,} of {total:,} bytes received")


def _read_note(note: Path, url: str) -> dict[str, Any]:
    """What is known of a file that came in part; empty if it came from elsewhere."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and known.get("url") == url else {}


def _validator(response: httpx.Response) -> str | None:
    """A value that changes when the file changes (RFC 9110, 13.1.5): a strong ETag, or its date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _total(response: httpx.Response) -> int | None:
    found = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if found:
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdecimal() else None


def _first_byte(response: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _check_disk(folder: Path, needed: int | None, url: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed is not None and needed > free:
        raise FetchError(f"{url}: needs {needed:,} bytes, but {folder} has {free:,} free.")


def _wrong_checksum(path: Path, checksum: str) -> str | None:
    kind, _, expected = checksum.partition(":")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    return None if found == expected.lower() else f"{kind} is {found}, the publisher's is {expected}"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


__all__ = ["FetchError", "download", "http_client", "remote_size"]
