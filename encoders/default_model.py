"""The public model that a new index uses by default."""

from dataclasses import dataclass

from .hub_files import is_broken_connection

# Apache-2.0, 0.15 billion parameters, 10 s windows, runs on a CPU, loads with transformers alone (docs/models.md).
DEFAULT_MODEL = "laion/clap-htsat-unfused"


@dataclass(frozen=True)
class Download:
    """
    The Hub's description of a repository, read before anything large is downloaded.

    Attributes:
        license: license named by its card, or None.
        num_bytes: size of the files that are not in the cache yet; 0 if all are, None if the Hub does not say.
    """

    license: str | None
    num_bytes: int | None


def expected_download(name: str) -> Download | None:
    """
    Gets the license and download size of a model from the Hub; None if the Hub cannot be reached.

    If weights exist in several formats, only the files that are loaded count: safetensors if there are any.

    Args:
        name: a Hub id.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        found = HfApi().model_info(name, files_metadata=True)
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return None
    except Exception as error:  # connection errors of the client's HTTP library
        if not is_broken_connection(error):
            raise
        return None
    files = {file.rfilename: file.size for file in found.siblings or []}
    has_safetensors = any(path.endswith(".safetensors") for path in files)
    other_weights = (".h5", ".msgpack", ".onnx", *((".bin", ".pt") if has_safetensors else ()))
    missing = [
        size
        for path, size in files.items()
        if not path.endswith(other_weights)
        and not isinstance(try_to_load_from_cache(name, path, revision=found.sha), str)
    ]
    card = found.card_data
    license = card.get("license") if card is not None else None
    size = None if any(one is None for one in missing) else sum(missing)
    return Download(license if isinstance(license, str) else None, size)


__all__ = ["DEFAULT_MODEL", "Download", "expected_download"]
