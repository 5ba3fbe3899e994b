"""Results with their moments as files of players and audio editors: playlists, CUE sheets, labels, regions."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import SearchError
from ..query.hits import Hit

# A CUE sheet counts in frames, 75 a second, and its tracks with two digits.
FRAMES_A_SECOND = 75
MOST_TRACKS = 99
_CUE_KINDS = {".mp3": "MP3", ".aif": "AIFF", ".aiff": "AIFF"}


def playlist(hits: Sequence[Hit], title: str = "") -> str:
    """
    An ``.m3u`` whose entries play the moments in VLC; other players skip those lines and play the files.

    Args:
        hits: answers, in their order.
        title: what was asked, for the entries' names.
    """
    lines = ["#EXTM3U"]
    for rank, hit in enumerate(hits, start=1):
        lines += [
            f"#EXTINF:{hit.end - hit.start:.3f},{_label(rank, hit, title)} - {_line(Path(hit.path).name)}",
            f"#EXTVLCOPT:start-time={hit.start:.3f}",
            f"#EXTVLCOPT:stop-time={hit.end:.3f}",
            path_line(hit.path),
        ]
    return "".join(f"{line}\n" for line in lines)


def path_line(path: str) -> str:
    """A path as one line of a playlist: a name of several lines becomes a URI, which players take too."""
    return path if path.isprintable() else Path(path).as_uri()


def cue_sheet(hits: Sequence[Hit], title: str = "") -> str:
    """
    A CUE sheet with a track a moment, by file and then by time; ``REM END`` says where the moment ends.

    Args:
        hits: answers.
        title: what was asked.

    Raises:
        SearchError: for more than 99 moments, or a path that a CUE sheet cannot hold.
    """
    if len(hits) > MOST_TRACKS:
        raise SearchError(f"a CUE sheet holds {MOST_TRACKS} moments, not {len(hits):,}; lower --top.")
    by_path: dict[str, list[tuple[int, Hit]]] = {}
    for rank, hit in enumerate(hits, start=1):
        by_path.setdefault(hit.path, []).append((rank, hit))
    lines, track = [f'TITLE "{_quoted(title)}"'] if title else [], 0
    for path, own in by_path.items():
        if '"' in path or not path.isprintable():
            raise SearchError(
                f"{path!r}: a CUE sheet cannot hold this path; rename the file, or export to .m3u."
            )
        lines.append(f'FILE "{path}" {_CUE_KINDS.get(Path(path).suffix.lower(), "WAVE")}')
        for rank, hit in sorted(own, key=lambda ranked: ranked[1].start):
            track += 1
            lines += [
                f"  TRACK {track:02d} AUDIO",
                f'    TITLE "{_quoted(_label(rank, hit, title))}"',
                f"    REM END {_frames(hit.end)}",
                f"    INDEX 01 {_frames(hit.start)}",
            ]
    return "".join(f"{line}\n" for line in lines)


def audacity_labels(hits: Sequence[Hit], title: str = "") -> str:
    """
    A label track of Audacity: start, end and text, by time.

    Args:
        hits: moments of one recording.
        title: what was asked.

    Raises:
        SearchError: if they are of several recordings, which have no common time.
    """
    return "".join(
        f"{hit.start:.6f}\t{hit.end:.6f}\t{_label(rank, hit, title)}\n"
        for rank, hit in _of_one_recording(hits, ".txt")
    )


def reaper_regions(hits: Sequence[Hit], title: str = "") -> str:
    """
    Regions as Reaper's Region/Marker Manager imports them (CSV, times as minutes and seconds).

    Args, Raises: as of [`audacity_labels`].
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["#", "Name", "Start", "End", "Length"])
    for number, (rank, hit) in enumerate(_of_one_recording(hits, ".reaper.csv"), start=1):
        start, end = round(hit.start, 3), round(hit.end, 3)
        times = (_minutes(seconds) for seconds in (start, end, end - start))
        writer.writerow([f"R{number}", _label(rank, hit, title), *times])
    return out.getvalue()


def _of_one_recording(hits: Sequence[Hit], ending: str) -> list[tuple[int, Hit]]:
    paths = list(dict.fromkeys(hit.path for hit in hits))
    if len(paths) > 1:
        raise SearchError(
            f"{ending}: labels belong to one recording, but the results are of {len(paths)}; use `auricle moments` or "
            "--in FILE, or export to .cue or .m3u."
        )
    return sorted(enumerate(hits, start=1), key=lambda ranked: ranked[1].start)


def _label(rank: int, hit: Hit, title: str) -> str:
    return _line(f"{title} {rank} ({hit.cosine:.3f})".strip())


def _line(text: str) -> str:
    """On one line, without signs that separate fields."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def _quoted(text: str) -> str:
    return _line(text).replace('"', "'")


def _frames(seconds: float) -> str:
    frames = round(seconds * FRAMES_A_SECOND)
    whole, rest = divmod(frames, FRAMES_A_SECOND)
    return f"{whole // 60:02d}:{whole % 60:02d}:{rest:02d}"


def _minutes(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    whole, rest = divmod(milliseconds, 1000)
    hours, minutes = divmod(whole // 60, 60)
    begin = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{begin}:{whole % 60:02d}.{rest:03d}"


# By ending; the longer ones are looked for first.
MOMENT_FILES: Mapping[str, Callable[[Sequence[Hit], str], str]] = {
    ".reaper.csv": reaper_regions,
    ".txt": audacity_labels,
    ".cue": cue_sheet,
    ".m3u": playlist,
}

__all__ = ["MOMENT_FILES", "audacity_labels", "cue_sheet", "path_line", "playlist", "reaper_regions"]
