"""The location of an index: a folder on this machine, or a prefix in an object store."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from ...files.replacing import replace_path


class IndexFolder:
    """
    Small files of an index, by name.

    Args:
        place: a path, or a URI such as ``s3://bucket/index``; credentials and endpoint of an object store come from
            the usual variables (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``,
            ``AWS_ENDPOINT_URL``).
    """

    def __init__(self, place: str | os.PathLike[str]):
        self.uri = os.fspath(place)
        self.path = None if "://" in self.uri else Path(self.uri)

    def __str__(self) -> str:
        return self.uri

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        from pyarrow import fs

        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if self.uri.startswith("s3://") and endpoint:
            scheme, _, address = endpoint.partition("://")
            return fs.S3FileSystem(endpoint_override=address, scheme=scheme), self.uri.removeprefix("s3://")
        return fs.FileSystem.from_uri(self.uri)

    def exists(self, name: str) -> bool:
        """Whether a file exists."""
        if self.path is not None:
            return (self.path / name).is_file()
        from pyarrow import fs

        system, root = self._remote
        return system.get_file_info(f"{root}/{name}").type == fs.FileType.File

    def read(self, name: str) -> bytes:
        """
        A file's content.

        Raises:
            OSError: if the file does not exist.
        """
        if self.path is not None:
            return (self.path / name).read_bytes()
        system, root = self._remote
        with system.open_input_stream(f"{root}/{name}") as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """
        Writes a whole file; readers never see a part of it.

        Raises:
            OSError: if it cannot be written.
        """
        if self.path is None:
            system, root = self._remote
            with system.open_output_stream(f"{root}/{name}") as file:
                file.write(content)
            return
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self.path / f".{name}.partial"
        try:
            fresh.write_bytes(content)
            replace_path(fresh, self.path / name)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


__all__ = ["IndexFolder"]
