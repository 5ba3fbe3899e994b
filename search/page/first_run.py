"""First run with an empty library: the page indexes a folder and shows the progress."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from ..errors import SearchError
from ..sound_index import SoundIndex
from ..update.index_progress import IndexProgress

# Unreadable files that the page lists; the command lists all.
MOST_FAULTS = 5
END_SECONDS = 30.0


@dataclass(frozen=True)
class NewIndex:
    """
    An index that does not exist yet.

    Attributes:
        directory: its future directory.
        create: creates it, empty, with a model (directory or Hub id).
        folder: folder of recordings, to begin with; or empty.
        model: to begin with.
    """

    directory: str
    create: Callable[[str], SoundIndex]
    folder: str = ""
    model: str = ""


@dataclass(frozen=True)
class Progress:
    """
    Progress of indexing.

    Attributes:
        running: whether it continues.
        share: share of the sound that is done, 0 to 1.
        told: progress as text.
        error: why it stopped early; or empty.
    """

    running: bool = False
    share: float = 0.0
    told: str = ""
    error: str = ""

    def html(self) -> str:
        """A bar and text; empty before the start."""
        if not (self.running or self.told or self.error):
            return ""
        percent = round(100 * self.share)
        bar = (
            f'<div class="progress" role="progressbar" aria-label="indexing" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{percent}"><div style="width: {percent}%"></div></div>'
        )
        words = f"<p>{escape(self.told)}</p>" if self.told else ""
        words += f'<p class="error">{escape(self.error)}</p>' if self.error else ""
        return (bar if self.running else "") + words


class _Stopped(Exception):
    """Indexing was to end."""


class Library:
    """
    The index of a page, which may not exist yet, and the thread that indexes the first folder.

    A folder can be chosen only while nothing is indexed; afterwards `auricle index` adds others. So a page with a
    library gives no access to other files.

    Args:
        index: the open index; None if none exists yet.
        new: the index to create if none exists.
        local: whether only this machine reaches the page. Otherwise the page does not let visitors choose folders.
    """

    def __init__(self, index: SoundIndex | None, new: NewIndex | None = None, *, local: bool = True):
        self._index, self.new, self.local = index, new, local
        self.progress = Progress()
        self._unfinished = False
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def index(self) -> SoundIndex:
        """
        Raises:
            SearchError: if no index exists yet.
        """
        if self._index is None:
            raise SearchError("There is no index yet: choose a folder of recordings first.")
        return self._index

    @property
    def found(self) -> SoundIndex | None:
        """The open index; None if none exists yet."""
        return self._index

    @property
    def takes_folder(self) -> bool:
        """Whether a folder can be chosen now."""
        if not self.local or self.progress.running:
            return False
        return self._index is None or self._unfinished or not len(self._index)

    def start(self, folder: str, model: str = "") -> None:
        """
        Starts indexing a folder in a thread of its own.

        Args:
            folder: the typed path.
            model: directory or Hub id, for an index that does not exist yet.

        Raises:
            SearchError: if this page cannot choose folders, or the path is not a folder.
        """
        with self._lock:
            if self.progress.running:
                raise SearchError("A folder is being indexed already.")
            if not self.takes_folder:
                raise SearchError("The library is not empty: add recordings with auricle index FOLDER.")
            place = checked_folder(folder)
            if self._index is None and not (model or "").strip():
                raise SearchError("Enter the model: a directory, or its id on the Hugging Face Hub.")
            self._stop.clear()
            self.progress = Progress(running=True, told="Loading the model")
            self._thread = threading.Thread(
                target=self._run, args=(place, (model or "").strip()), name="first index", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stops indexing before the next file; embedded files stay."""
        self._stop.set()

    def close(self) -> None:
        """Stops indexing and waits for that, half a minute at most."""
        self.stop()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _run(self, folder: str, model: str) -> None:
        try:
            if self._index is None:
                self._index = self.new.create(model)
            self._check()
            self.progress = replace(self.progress, told="Looking for recordings")
            report = self._index.update([folder], progress=self._tell, check=self._check)
        except _Stopped:
            self._ended("Stopped. The recordings indexed so far can be searched.")
        except (SearchError, OSError, ImportError) as error:
            self._ended(str(error))
        except Exception as error:  # an exception in a thread would be lost
            self._ended(f"{type(error).__name__}: {error}")
        else:
            self._unfinished = False
            told = f"{len(self._index):,} files are indexed."
            if report.faults:
                reasons = "; ".join(f"{Path(path).name}: {why}" for path, why in report.faults[:MOST_FAULTS])
                more = len(report.faults) - MOST_FAULTS
                told += f" {len(report.faults):,} not read: {reasons}{f'; and {more:,} more' if more > 0 else ''}."
            self.progress = Progress(share=1.0, told=told)

    def _ended(self, why: str) -> None:
        self._unfinished = True
        self.progress = Progress(share=self.progress.share, error=" ".join(why.split()))

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _tell(self, bar: IndexProgress) -> None:
        self.progress = Progress(running=True, share=min(1.0, bar.share), told=bar.told)


def checked_folder(typed: str) -> str:
    """
    The absolute path of a folder that the user typed.

    Args:
        typed: a path, perhaps from the home folder on (`~`).

    Raises:
        SearchError: if it is not a folder that can be read, or a whole disk.
    """
    text = (typed or "").strip()
    if not text:
        raise SearchError("Enter a folder of recordings first.")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise SearchError(f"{text!r}: not a valid path.")
    path = os.path.expanduser(text)
    if not os.path.isabs(path):
        raise SearchError(f"{text}: enter the full path, such as {Path.home() / 'sounds'}.")
    path = os.path.normpath(path)
    if not os.path.exists(path):
        raise SearchError(f"{path}: there is no such folder.")
    if not os.path.isdir(path):
        raise SearchError(f"{path}: is a file; enter the folder that contains the recordings.")
    if os.path.dirname(path) == path:
        raise SearchError(f"{path}: is a whole disk; enter a folder of recordings on it.")
    if not os.access(path, os.R_OK | os.X_OK):
        raise SearchError(f"{path}: permission denied.")
    return path


def welcome(library: Library) -> str:
    """Instructions for the first run, in Markdown."""
    index = library.found
    if not library.local:
        return "The library is empty."
    if index is None:
        return (
            f"### Index your recordings\nThere is no index at `{_code(library.new.directory)}` yet. Choose a folder: "
            "every recording in it is embedded once, on this machine; nothing is uploaded. You can search as soon as "
            "the first ones are done."
        )
    return (
        "### This index is empty\nChoose a folder of recordings, or run "
        f"`auricle index FOLDER --index {_code(str(index.directory))}`."
    )


def _code(text: str) -> str:
    return text.replace("`", "'")


def folder_fields(gr: Any, library: Library) -> dict[str, Any]:
    """The components of a first run, by name, in their column."""
    new = library.new
    with gr.Column(visible=False, elem_id="welcome") as column:
        text = gr.Markdown()
        folder = gr.Textbox(
            new.folder if new else "",
            label="Folder of recordings",
            placeholder=str(Path.home() / "sounds"),
            max_lines=1,
        )
        model = gr.Textbox(
            new.model if new else "",
            label="Model",
            info="A directory, or an id on the Hugging Face Hub, which is downloaded once.",
            max_lines=1,
            visible=library.found is None,
        )
        start = gr.Button("Index this folder", variant="primary")
    with gr.Column(visible=False) as running:
        bar = gr.HTML(elem_id="progress")
        stop = gr.Button("Stop", size="sm", elem_id="stop")
    return {"column": column, "text": text, "folder": folder, "model": model, "start": start} | {
        "running": running,
        "bar": bar,
        "stop": stop,
        "clock": gr.Timer(1.0, active=False),
    }


__all__ = ["Library", "NewIndex", "Progress", "checked_folder", "folder_fields", "welcome"]
