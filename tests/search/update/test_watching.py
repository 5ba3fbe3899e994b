"""`auricle index --watch`: a process that goes on whatever happens to the folders, until it is stopped."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from filelock import FileLock
from sound_libraries import library
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import environment

from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
pytestmark = pytest.mark.slow


class Watcher:
    """A watching process and the lines that it prints."""

    def __init__(self, *arguments):
        command = [sys.executable, "-u", "-m", "auricle", "index", *map(str, arguments), "--watch", "1"]
        self.process = subprocess.Popen(
            [*command, "--no-progress"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)

    def until(self, text: str) -> str:
        """The next line that holds a text."""
        seen = []
        while True:
            try:
                seen.append(self._lines.get(timeout=60))
            except queue.Empty:
                raise AssertionError(f"{text!r} was not said, but {seen}") from None
            if text in seen[-1]:
                return seen[-1]

    def waiting(self) -> list[str]:
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return lines


def test_it_follows_the_folder_and_goes_on_after_trouble(tmp_path):
    saved_tiny_model(tmp_path / "model")
    sounds, place = library(tmp_path / "sounds", 3), tmp_path / "index"
    watcher = Watcher(sounds, "--model", tmp_path / "model", "--index", place)
    try:
        assert watcher.until("added").startswith("3 added")
        write_sound(sounds / "new.wav", 1.0, seed=7)
        assert watcher.until("added").startswith("1 added")
        (sounds / "new.wav").unlink()
        assert "1 removed" in watcher.until("removed")
        with FileLock(place / "index.lock"):
            watcher.until("another process is writing this index")
        write_sound(sounds / "late.wav", 1.0, seed=8)
        assert watcher.until("1 added").startswith("1 added")
        # A disk that is taken away and comes back.
        sounds.rename(tmp_path / "away")
        watcher.until("no such file or folder")
        sounds.mkdir()
        watcher.until("no sound is left in it")
        assert len(SoundIndex(place)) == 4
        shutil.rmtree(sounds)
        (tmp_path / "away").rename(sounds)
        assert "4 unchanged" in watcher.until("unchanged")
        watcher.waiting()
        os.utime(sounds / "late.wav", (1, 1))
        write_sound(sounds / "last.wav", 1.0, seed=9)
        assert watcher.until("added").startswith("1 added")
        # Nothing is said of the times that nothing happened.
        assert not [line for line in watcher.waiting() if "added" in line]
        watcher.process.send_signal(signal.SIGINT)
        assert watcher.process.wait(60) == 130 and "interrupted" in watcher.until("interrupted")
    finally:
        watcher.process.kill()
    assert len(SoundIndex(place)) == 5


def test_a_folder_of_links_is_refused_at_once(tmp_path):
    command = [sys.executable, "-m", "auricle", "index", str(tmp_path), "--watch", "1"]
    command += ["--index", str(tmp_path / "index"), "--export", str(tmp_path / "links")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 2 and "a folder of links cannot be combined with --watch" in done.stderr
