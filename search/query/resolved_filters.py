"""Completes filters with data of the index: the stored form of a path, and the indexed folders."""

import os
from dataclasses import replace

from ..errors import SearchError
from ..store.index_store import Store
from .filters import Filters
from .index_contents import CurrentContents
from .known_vectors import stored_path


def resolve_filters(store: Store, contents: CurrentContents, filters: Filters) -> Filters:
    """
    Filters with ``file`` in the index's form and ``roots`` set to the indexed folders.

    Args:
        store, contents: of the index.
        filters: the given filters.

    Raises:
        SearchError: if the file is not in the index.
    """
    if filters.file is not None:
        path = checked_path(store, contents, filters.file)
        if not len(store.file_rows(["path"], [path])):
            near = contents.get().paths.find(path)
            meant = f"; did you mean {near.names[0]}?" if near else ""
            raise SearchError(f"{filters.file}: is not in the index {store.folder}{meant}.")
        filters = replace(filters, file=path)
    return filters if filters.glob is None else replace(filters, roots=contents.get().roots)


def checked_path(store: Store, contents: CurrentContents, path: str | os.PathLike[str]) -> str:
    """
    The absolute path of a file in the index's form; see [`stored_path`].

    Raises:
        SearchError: if its name is not valid UTF-8.
    """
    if any("\udc80" <= letter <= "\udcff" for letter in os.fspath(path)):
        raise SearchError(f"{os.fspath(path)!r}: its name is not valid UTF-8; rename the file.")
    return stored_path(store, contents, path)


__all__ = ["checked_path", "resolve_filters"]
