"""Unpacks 7z archives with py7zr, an optional extra."""

import os
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from .download import FetchError


def require_py7zr() -> None:
    """
    Checks that 7z archives can be unpacked.

    Raises:
        FetchError: if py7zr is not installed.
    """
    try:
        import py7zr  # noqa: F401
    except ImportError as error:
        raise FetchError("7z archives need py7zr: pip install 'auricle[fetch]'.") from error


def unpack_7z(archive: Path, target: Path, *, progress: bool = True) -> dict[str, int]:
    """
    Unpacks a 7z archive with its folders.

    The archive is unpacked into a temporary folder next to the target and then moved: files in the target are complete.

    Args:
        archive: the file.
        target: folder for its content; created if it does not exist.
        progress: show a progress bar.

    Returns:
        Number of files by the folder's path below the target.

    Raises:
        FetchError: if py7zr is not installed, the archive is damaged or encrypted, or a file in it would land outside
            the target.
    """
    require_py7zr()
    import py7zr
    from py7zr.callbacks import ExtractCallback

    class Shown(ExtractCallback):
        """Moves the bar."""

        def report_start_preparation(self):
            pass

        def report_start(self, processing_file_path, processing_bytes):
            pass

        def report_update(self, decompressed_bytes):
            bar.update(int(decompressed_bytes))

        def report_end(self, processing_file_path, wrote_bytes):
            pass

        def report_postprocess(self):
            pass

        def report_warning(self, message):
            pass

    fresh = target / f".{archive.name}.unpacking"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with py7zr.SevenZipFile(archive) as content:
            entries = content.list()
            for entry in entries:
                _check_name(archive, entry)
            size = sum(entry.uncompressed or 0 for entry in entries)
            free = shutil.disk_usage(target if target.is_dir() else archive.parent).free
            if size > free:
                raise FetchError(f"{archive}: unpacks to {size:,} bytes, but {target} has {free:,} free.")
            with tqdm(
                total=size, desc=f"unpacking {archive.name}", unit="B", unit_scale=True, disable=not progress
            ) as bar:
                content.extractall(fresh, callback=Shown())
        folders: Counter[str] = Counter()
        for path in sorted(fresh.rglob("*")):
            if path.is_file():
                place = target / path.relative_to(fresh)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
                folders[place.parent.relative_to(target).as_posix()] += 1
    except (FetchError, OSError):
        raise
    except Exception as error:  # of a damaged archive any part of the library's readers may stumble
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FetchError(
            f"{archive}: cannot be unpacked ({reason}); delete it and fetch it again."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return dict(folders)


def _check_name(archive: Path, entry) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = bool(getattr(entry, "is_symlink", False))
    if name.is_absolute() or ".." in name.parts or is_link or (name.parts and ":" in name.parts[0]):
        raise FetchError(
            f"{archive}: contains {entry.filename!r}, which is outside the target directory; not unpacked."
        )


__all__ = ["require_py7zr", "unpack_7z"]
