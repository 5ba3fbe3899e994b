"""Downloads a dataset: finds the missing files, checks the disk space, then downloads one file after another."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from filelock import FileLock, Timeout

from ...files.json_files import write_json
from ..sources.split_zip import unpack_archive
from .catalog import Archive, Fetchable, PublishedFile
from .download import FetchError, download, http_client, remote_size
from .hub_listing import list_wavcaps
from .seven_zip import require_py7zr, unpack_7z

# What was unpacked, so that archives that were removed are not fetched again.
RECORD = "fetched.json"


@dataclass(frozen=True)
class FetchPlan:
    """
    The remaining work.

    Attributes:
        fetchable: with all of its files, also of the Hub.
        files: missing files, including parts of archives, each with its size in bytes; None if the server does not
            state it.
        archives: archives that are not unpacked yet.
        peak_bytes: additional disk space needed.
        free_bytes: free disk space.
    """

    fetchable: Fetchable
    files: tuple[tuple[PublishedFile, int | None], ...]
    archives: tuple[Archive, ...]
    peak_bytes: int
    free_bytes: int

    @property
    def download_bytes(self) -> int:
        """Bytes to download, as far as servers state sizes."""
        return sum(size or 0 for _, size in self.files)


def plan_fetch(
    fetchable: Fetchable,
    directory: Path,
    *,
    collections: Sequence[str] | None = None,
    keep_archives: bool = False,
    mirror: str | None = None,
) -> FetchPlan:
    """
    Gets sizes from the publishers and compares them with the files on disk; downloads nothing.

    Args:
        fetchable: an entry of the catalogue.
        directory: target; it may contain a part of the dataset.
        collections: collections of WavCaps whose sound is fetched; None fetches all.
        keep_archives: keep archives after unpacking.
        mirror: server with the publishers' files under the same paths, such as ``http://mirror:8000``; None uses
            the publishers.

    Raises:
        FetchError: if a publisher cannot be reached or has no such file, or the mirror is not an address.
    """
    if mirror is not None and urlsplit(mirror).scheme not in ("http", "https"):
        raise FetchError(f"mirror {mirror!r} must begin with http:// or https://.")
    if collections is not None and fetchable.hub_repo is None:
        raise FetchError(f"{fetchable.title} has no collections; only wavcaps has.")
    if fetchable.hub_repo is not None:
        fetchable = list_wavcaps(fetchable, collections=collections, endpoint=mirror)
    elif mirror is not None:
        fetchable = _mirrored(fetchable, mirror)
    record = _read_record(directory)
    archives = tuple(one for one in fetchable.archives if not _is_unpacked(one, record, directory))
    wanted = [*fetchable.files, *(file for archive in archives for file in archive.files)]
    missing = []
    with http_client() as client:
        for file in wanted:
            if not (directory / file.name).is_file():
                size = file.size if file.size is not None else remote_size(client, file.url)
                missing.append((file, None if size is None else max(0, size - _came(directory, file))))
    bytes_of = {file.name: size or 0 for file, size in missing}
    packed = [sum(bytes_of.get(file.name, 0) for file in archive.files) for archive in archives]
    plain = sum(bytes_of.values()) - sum(packed)
    # Archives are removed one by one unless the caller keeps them.
    beside = sum(packed) if keep_archives else max(packed, default=0)
    return FetchPlan(
        fetchable,
        tuple(missing),
        archives,
        plain + beside + sum(archive.unpacked_bytes for archive in archives),
        shutil.disk_usage(_existing(directory)).free,
    )


def fetch(
    plan: FetchPlan, directory: Path, *, keep_archives: bool = False, progress: bool = True, wait: float = 1.0
) -> tuple[int, int]:
    """
    Carries out a plan. If it was interrupted, call it again to resume.

    Args:
        plan: result of [`plan_fetch`] for the same directory.
        directory: target, created if it does not exist.
        keep_archives: keep archives after unpacking.
        progress: show progress bars.
        wait: seconds before a failed request is retried; doubled each time.

    Returns:
        Number of downloaded and of unpacked files.

    Raises:
        FetchError: if the disk is too small, another process fetches to the directory, a file cannot be downloaded, its
            checksum or content is wrong, or an archive cannot be unpacked. Complete files stay.
        DataError: if a zip archive is damaged.
    """
    if plan.peak_bytes > plan.free_bytes:
        raise FetchError(
            f"{directory}: {plan.fetchable.title} needs about {_gigabytes(plan.peak_bytes)}, but the disk has "
            f"{_gigabytes(plan.free_bytes)} free."
        )
    if any(archive.kind == "7z" for archive in plan.archives):
        require_py7zr()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(directory / ".fetch.lock", timeout=0), http_client() as client:
            return _fetch(plan, directory, keep_archives, progress, wait, client)
    except Timeout as error:
        raise FetchError(f"{directory}: another process is fetching to this directory.") from error


def _fetch(
    plan: FetchPlan, directory: Path, keep_archives: bool, progress: bool, wait: float, client: httpx.Client
) -> tuple[int, int]:
    fetched = unpacked = 0
    options = {"client": client, "progress": progress, "wait": wait}
    for file in plan.fetchable.files:
        place = directory / file.name
        if download(file.url, place, checksum=file.checksum, **options):
            fetched += 1
            _check_columns(place, file)
    for archive in plan.archives:
        for file in archive.files:
            fetched += download(file.url, directory / file.name, checksum=file.checksum, **options)
        folders = _unpack(archive, directory, progress)
        unpacked += sum(folders.values())
        record = _read_record(directory)
        record[archive.name] = {"folders": folders, "checksums": [file.checksum for file in archive.files]}
        write_json(directory / RECORD, record)
        if not keep_archives:
            for file in archive.files:
                (directory / file.name).unlink()
    return fetched, unpacked


def _unpack(archive: Archive, directory: Path, progress: bool) -> dict[str, int]:
    if archive.kind == "7z":
        return unpack_7z(directory / archive.name, directory / archive.target, progress=progress)
    target = directory / archive.target
    written, kept = unpack_archive((directory / archive.name).parent, target, progress=progress)
    return {archive.target: written + kept}


def _is_unpacked(archive: Archive, record: dict[str, dict], directory: Path) -> bool:
    """Whether all files of an archive were unpacked and still exist."""
    known = record.get(archive.name)
    if known is None or known["checksums"] != [file.checksum for file in archive.files]:
        return False
    places = {
        directory / archive.target / name if archive.kind == "7z" else directory / name: count
        for name, count in known["folders"].items()
    }
    return all(
        place.is_dir() and sum(entry.is_file() for entry in place.iterdir()) >= count
        for place, count in places.items()
    )


def _read_record(directory: Path) -> dict[str, dict]:
    try:
        return json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FetchError(
            f"{directory / RECORD}: cannot be read ({error}); delete it to fetch again."
        ) from error


def _check_columns(place: Path, file: PublishedFile) -> None:
    """A page that says that a file has moved comes with HTTP 200 too."""
    if not file.columns:
        return
    # Clotho's metadata are in Latin-1, which reads any bytes; names of columns are ASCII.
    with open(place, newline="", encoding="latin-1") as opened:
        header = [name.strip().removeprefix("\u00ef\u00bb\u00bf") for name in next(csv.reader(opened), [])]
    missing = [name for name in file.columns if name not in header]
    if missing:
        place.unlink()
        raise FetchError(
            f"{file.url}: the downloaded file has no column {missing[0]!r}, so it is the wrong file; it was deleted."
        )


def _mirrored(fetchable: Fetchable, mirror: str) -> Fetchable:
    def of(file: PublishedFile) -> PublishedFile:
        url = mirror.rstrip("/") + urlsplit(file.url).path
        return PublishedFile(file.name, url, file.checksum, file.columns, file.size)

    archives = (
        Archive(one.kind, tuple(map(of, one.files)), one.target, one.unpacked_bytes)
        for one in fetchable.archives
    )
    return Fetchable(
        fetchable.name,
        fetchable.title,
        fetchable.terms,
        tuple(map(of, fetchable.files)),
        tuple(archives),
        None,
        fetchable.afterwards,
    )


def _came(directory: Path, file: PublishedFile) -> int:
    partial = directory / f"{file.name}.partial"
    return partial.stat().st_size if partial.is_file() else 0


def _existing(directory: Path) -> Path:
    path = directory.absolute()
    while not path.exists():
        path = path.parent
    return path


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


__all__ = ["RECORD", "FetchPlan", "fetch", "plan_fetch"]
