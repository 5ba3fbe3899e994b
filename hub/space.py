"""A Gradio Space with the page of `auricle serve` and a published model: visitors add sounds and search them."""

from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from packaging.requirements import Requirement

from .publishing import Publication, check_repo_id

# The rooms that the page imports, and the data files next to the code that they read.
ROOMS = (
    "conversion",
    "data",
    "encoders",
    "evaluation",
    "files",
    "modeling",
    "processing",
    "search",
    "training",
)
SOURCES = (".py", ".txt", ".css", ".js")
_README = """---
title: {title}
emoji: 🔎
colorFrom: indigo
colorTo: green
sdk: gradio
sdk_version: {gradio}
app_file: app.py
pinned: false
models:
- {model_id}
---

Write a sentence or upload a recording: [{model_id}](https://huggingface.co/{model_id}) finds the
recordings that fit.

Put your recordings in `sounds/`, with an optional `metadata.csv` (`file_name`, `license`, `tags` and any other
columns), or add them on the page. Everyone who opens the page can hear the recordings that are added there.
They are deleted when the Space restarts.
"""
_SOUNDS = """Put recordings here, also in subfolders. The page searches them after the next start of the Space.
"""


def collect_space(model_id: str, repo_id: str, *, extras: tuple[str, ...] = ("app",)) -> Publication:
    """
    The files of a Space for a published model: the page, the package's sources that it needs, and an empty library.

    Args:
        model_id: id of the model on the Hub.
        repo_id: id of the Space, ``owner/name``.
        extras: extras of the package whose requirements the Space installs.

    Raises:
        PublishError: if one cannot be a repository's name.
        ImportError: if Gradio, whose version the Space gets, is not installed.
    """
    check_repo_id(model_id)
    check_repo_id(repo_id)
    package = resources.files("auricle")
    app = (package / "model_cards" / "space_app.py.txt").read_text(encoding="utf-8")
    try:
        gradio = metadata.version("gradio")
    except metadata.PackageNotFoundError as error:
        raise ImportError("a Space needs Gradio: pip install 'auricle[app]'.") from error
    files: dict[str, bytes] = {
        "README.md": _README.format(title=repo_id.split("/")[-1], model_id=model_id, gradio=gradio).encode(),
        "app.py": app.replace("@MODEL_ID@", model_id).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in requirements(extras)).encode(),
        "sounds/README.md": _SOUNDS.encode(),
        "auricle/__init__.py": (package / "__init__.py").read_bytes(),
    }
    for room in ROOMS:
        files |= {f"auricle/{path}": content.read_bytes() for path, content in _sources(package / room, room)}
    return Publication(repo_id, files)


def requirements(extras: tuple[str, ...]) -> list[str]:
    """Of the package and of some of its extras, as pip reads them, but for Gradio, which a Space has already."""
    found, wanted = {}, [*extras]
    for extra in wanted:
        for text in metadata.requires("auricle") or []:
            entry = Requirement(text)
            if entry.marker is not None and not entry.marker.evaluate({"extra": extra}):
                continue
            if entry.name == "auricle":
                wanted += [name for name in sorted(entry.extras) if name not in wanted]
            elif entry.name != "gradio":
                entry.marker = None
                found[entry.name] = str(entry)
    return [found[name] for name in sorted(found)]


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{path}/{entry.name}")
        elif entry.is_file() and entry.name.endswith(SOURCES):
            yield f"{path}/{entry.name}", entry


__all__ = ["ROOMS", "collect_space", "requirements"]
