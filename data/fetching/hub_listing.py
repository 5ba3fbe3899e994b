"""Files of a dataset on the Hub, with the checksums that the Hub states."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from .catalog import Archive, Fetchable, PublishedFile
from .download import FetchError

ARCHIVES, METADATA = "Zip_files", "json_files"
# The Hub's client raises the errors of its HTTP library, which it has changed more than once.
_HTTP_LIBRARIES = ("httpx", "httpx2", "requests", "urllib3")


def list_wavcaps(
    fetchable: Fetchable, *, collections: Sequence[str] | None = None, endpoint: str | None = None
) -> Fetchable:
    """
    WavCaps with its files on the Hub: metadata, and one split archive per collection.

    Args:
        fetchable: the entry of the catalogue.
        collections: collections whose sound is fetched, such as ``FreeSound``; None is all. Metadata are fetched for
            all.
        endpoint: endpoint of the Hub, if not the client's own (``HF_ENDPOINT``).

    Raises:
        FetchError: if the Hub cannot be reached, or there is no such collection.
    """
    # The dataset is public: another server than the Hub gets no token.
    api = HfApi(endpoint=endpoint, token=False if endpoint else None)
    try:
        entries = [
            entry
            for entry in api.list_repo_tree(fetchable.hub_repo, repo_type="dataset", recursive=True)
            if hasattr(entry, "blob_id")
        ]
    except Exception as error:
        is_of_client = type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES
        if not (is_of_client or isinstance(error, HfHubHTTPError | OSError)):
            raise
        reason = " ".join(str(error).split())
        raise FetchError(f"{fetchable.hub_repo}: cannot be listed on {api.endpoint} ({reason}).") from error
    plain: list[PublishedFile] = []
    parts: dict[str, list[PublishedFile]] = {}
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or path.parts[0] not in (ARCHIVES, METADATA):
            continue
        url = f"{api.endpoint}/datasets/{fetchable.hub_repo}/resolve/main/{entry.path}"
        checksum = f"sha256:{entry.lfs.sha256}" if entry.lfs else None
        file = PublishedFile(entry.path, url, checksum, size=entry.size)
        if path.parts[0] == METADATA:
            plain.append(file)
        elif len(path.parts) == 3:
            parts.setdefault(path.parts[1], []).append(file)
    unknown = sorted(set(collections or ()) - set(parts))
    if unknown:
        raise FetchError(
            f"{fetchable.hub_repo}: no collection {unknown[0]!r}; there are {', '.join(sorted(parts))}."
        )
    archives = tuple(
        Archive(
            # name.z01, name.z02, ..., name.zip: the last part contains the table of contents.
            "zip",
            tuple(sorted(files, key=lambda file: (file.name.endswith(".zip"), file.name))),
            name,
            sum(file.size or 0 for file in files),
        )
        for name, files in sorted(parts.items())
        if collections is None or name in collections
    )
    return Fetchable(
        fetchable.name,
        fetchable.title,
        fetchable.terms,
        tuple(plain),
        archives,
        fetchable.hub_repo,
        fetchable.afterwards,
    )


__all__ = ["list_wavcaps"]
