"""Progress of an update by the share of the sound, also within a long recording."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from tqdm.auto import tqdm

from ...processing import AudioReadError
from ...processing.audio_reading import audio_seconds

# Of a shorter file it is enough to know when it is done.
LONG_BYTES = 4_000_000
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"


class IndexProgress:
    """
    A progress bar over files, weighted by their bytes, since durations are unknown before files are read.

    Within a long file, progress follows the seconds embedded; the bar also shows finished files and hours of sound.

    Args:
        sizes: bytes of the files, by path.
        progress: show a bar; or a function that is called at each step instead.
    """

    def __init__(self, sizes: Mapping[str, int], progress: "bool | Callable[[IndexProgress], None]"):
        self._tell = progress if callable(progress) else None
        # An empty file is something to do, too.
        self._sizes = {path: max(size, 1) for path, size in sizes.items()}
        self._files, self._sound, self._done = 0, 0.0, 0
        self._running: dict[str, tuple[float, float | None]] = {}
        self._bar = tqdm(
            total=sum(self._sizes.values()),
            desc="indexing",
            bar_format=FORMAT,
            disable=progress is not True or not self._sizes,
        )

    def __enter__(self) -> "IndexProgress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    @property
    def share(self) -> float:
        """The finished share of the bytes, 0 to 1, with the embedded parts of unfinished files."""
        within = sum(self._within(path) for path in self._running)
        return (self._done + within) / max(sum(self._sizes.values()), 1)

    @property
    def told(self) -> str:
        """Finished files and length of sound, as text."""
        length = tqdm.format_interval(self._sound)
        return f"{self._files:,} of {len(self._sizes):,} files, {length} of sound"

    def heard(self, path: str, seconds: float) -> None:
        """Adds seconds of a file that is being embedded."""
        self._sound += seconds
        if path not in self._running:
            length = None
            if self._sizes.get(path, 0) >= LONG_BYTES and not (self._bar.disable and self._tell is None):
                with suppress(AudioReadError, OSError):
                    length = audio_seconds(path)
            self._running[path] = (0.0, length)
        before, length = self._running[path]
        self._running[path] = (before + seconds, length)
        self._show()

    def done(self, path: str) -> None:
        """Marks a file as finished."""
        self._running.pop(path, None)
        self._files += 1
        self._done += self._sizes[path]
        self._show()

    def _within(self, path: str) -> int:
        seconds, length = self._running[path]
        return int(self._sizes.get(path, 0) * min(1.0, seconds / length)) if length else 0

    def _show(self) -> None:
        if self._tell is not None:
            self._tell(self)
        if self._bar.disable:
            return
        self._bar.set_postfix_str(self.told, refresh=False)
        self._bar.update(self._done + sum(map(self._within, self._running)) - self._bar.n)


__all__ = ["IndexProgress"]
