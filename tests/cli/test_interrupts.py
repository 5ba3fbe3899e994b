"""An interrupt that Python cannot raise where it falls ends the command all the same."""

import os
import signal
import sys
import threading

import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model
from typer.testing import CliRunner

from auricle.cli.interrupts import Interrupts
from auricle.cli.main import app
from auricle.search.sound_index import SoundIndex


class Swallows:
    """Interrupts in a finalizer, where Python drops the exception."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


@pytest.fixture
def dropped(monkeypatch):
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: found.append(told.exc_type))
    return found


def test_it_is_raised_at_once_where_python_can():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        interrupts.sleep(30)
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_is_dropped_is_raised_by_the_next_check(dropped):
    with Interrupts() as interrupts:
        interrupts.check()
        thing = Swallows()
        del thing
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            interrupts.sleep(30)


def test_another_thread_takes_no_signals():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with Interrupts() as interrupts:
            interrupts.sleep(0.01)
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert seen == [before]


def test_a_watching_index_ends_after_a_dropped_interrupt(dropped, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    saved_tiny_model(tmp_path / "model")
    sounds, update, calls = library(tmp_path / "sounds", 2), SoundIndex.update, []

    def updated(*arguments, **options):
        report = update(*arguments, **options)
        calls.append(report)
        thing = Swallows()
        del thing
        return report

    monkeypatch.setattr(SoundIndex, "update", updated)
    place = tmp_path / "index"
    arguments = [
        "index",
        str(sounds),
        "--model",
        str(tmp_path / "model"),
        "--index",
        str(place),
        "--watch",
        "60",
    ]
    done = CliRunner().invoke(app, [*arguments, "--no-progress"])
    assert dropped == [KeyboardInterrupt] and len(calls) == 1
    assert done.exit_code == 130 and "interrupted" in done.stderr
    assert len(SoundIndex(place)) == 2


def test_one_that_is_dropped_within_an_update_ends_it_after_the_file(dropped, tmp_path):
    pytest.importorskip("lancedb")
    saved_tiny_model(tmp_path / "model")
    sounds = library(tmp_path / "sounds", 4)
    with SoundIndex.create(tmp_path / "index", str(tmp_path / "model")) as index, Interrupts() as interrupts:
        seen = []

        def check():
            if not seen:
                thing = Swallows()
                del thing
            seen.append(1)
            interrupts.check()

        with pytest.raises(KeyboardInterrupt):
            index.update([sounds], progress=False, check=check)
    assert dropped == [KeyboardInterrupt] and len(seen) == 1
    # What was embedded stays, and the rest follows.
    with SoundIndex(tmp_path / "index") as again:
        again.update([sounds], progress=False)
        assert len(again) == 4
