"""Files that are not read: which of them to report, and a count by reason and extension."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


# Sound, and video that may contain sound.
SOUND_ENDINGS = _endings(
    "16svx 3g2 3ga 3gp 3gp2 3gpp 8svx aa aac aax ac3 adts aif aifc aiff alac amr ape asf au avi avr awb bw64 bwf caf "
    "cda dff divx dsd dsf dts dtshd eac3 ec3 f4a f4v flac flv gsm htk iff ircam kar m1v m2a m2t m2ts m2v m4a m4b m4p "
    "m4r m4v mat4 mat5 mid midi mk3d mka mkv mlp mod mogg mov mp1 mp2 mp3 mp4 mpa mpc mpc2k mpeg mpg mpga mpp mpt "
    "mts mxf nist nsp nut oga ogg ogm ogv ogx oma omg opus paf pcm pvf qcp qoa qt ra ram raw rf64 rm rmi rmvb "
    "sd2 sds sf shn sln snd sph spx svx tak thd truehd ts tta vob voc vox vqf w64 wav wave wavex weba webm "
    "wma wmv wv wve xa xi xm xwma "
)
# Files that people and programs store next to sounds, and that contain no sound.
SILENT_ENDINGS = _endings(
    # texts, tables, settings
    "txt md rst rtf log nfo pdf doc docx odt pages xls xlsx ods numbers csv tsv json jsonl ndjson xml html "
    "htm css yaml yml toml ini cfg conf url webloc lnk eml bib tex "
    # pictures
    "jpg jpeg jpe png gif webp svg bmp tif tiff heic heif avif ico psd ai eps cr2 nef dng "
    # playlists, cue sheets, subtitles, annotations
    "m3u m3u8 pls xspf cue toc srt vtt lrc ass ssa textgrid lab eaf rttm ctm stm trs selections jams "
    # sums of files, and what programs keep of the look of sounds
    "md5 sha1 sha256 sha512 sfv ffp par2 sig asc asd reapeaks reapindex pkf pk peak peaks pek cfa sfk sfap0 "
    "sfl wfm ovw gpk wpk db "
    # programs, vectors, models and indexes
    "py pyc ipynb js sh bat parquet arrow npy npz pt pth onnx safetensors lance lock "
)
_SILENT_NAMES = frozenset(
    ("readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile", "icon\r")
)
_INDEX = "index.json"
_BESIDE_AN_INDEX = {"snapshot.arrow", "index.lock", "faults.json"}
APPLE_DOUBLE = "._"
NO_ENDING = "(no ending)"
_ENDING = re.compile(r"\.[^\W_][\w+-]{0,11}")
_SHOWN = 12


@dataclass(frozen=True)
class Unread:
    """
    A file that is not read.

    Attributes:
        path: path of the file.
        reason: why, as one of a few; see [`unread_reason`].
    """

    path: str
    reason: str

    @property
    def ending(self) -> str:
        """In lower case, with the dot."""
        return ending_of(self.path)


NOT_READ = "with endings that are not read"
NOT_HERE = "of sound or video that this installation cannot read"
MAC_SIDECARS = "that macOS wrote next to audio files (AppleDouble, '._' before the name)"


def ending_of(path: str) -> str:
    """A file's extension in lower case, with the dot; ``"(no ending)"`` without one."""
    ending = PurePath(path).suffix.lower()
    # "Take 3. The hall" has a full stop, and no ending.
    return ending if _ENDING.fullmatch(ending) else NO_ENDING


def is_apple_double(name: str) -> bool:
    """Whether a file is an AppleDouble file, which macOS writes on other file systems."""
    return name.startswith(APPLE_DOUBLE)


def unread_reason(name: str, readable: frozenset[str]) -> str | None:
    """
    The reason why a file is not read; None if it is read, or need not be reported.

    Not reported: hidden files, texts, tables, pictures, playlists, annotations, checksums and what
    programs write next to audio files. Audio and video that cannot be read here, AppleDouble files of sounds, and all
    other endings are counted.

    Args:
        name: without folders.
        readable: endings that are read, lower case, with the dot.
    """
    ending = ending_of(name)
    if is_apple_double(name):
        return MAC_SIDECARS if ending in readable or ending in SOUND_ENDINGS else None
    if name.startswith(".") or ending in readable:
        return None
    if ending in SOUND_ENDINGS:
        return NOT_HERE
    if ending in SILENT_ENDINGS or name.endswith("~"):
        return None
    if ending == NO_ENDING and name.lower() in _SILENT_NAMES:
        return None
    return NOT_READ


def unread_among(folder: str, names: Iterable[str], readable: frozenset[str]) -> Iterator[Unread]:
    """Files of a folder that are not read, with the reason; see [`unread_reason`]."""
    for name in sorted(names):
        reason = unread_reason(name, readable)
        if reason is not None:
            yield Unread(os.path.join(folder, name), reason)


def is_index(names: Iterable[str]) -> bool:
    """Whether these file names belong to an index."""
    held = set(names)
    return _INDEX in held and bool(held & _BESIDE_AN_INDEX)


def unread_lines(unread: Iterable[Unread]) -> list[str]:
    """
    A line a reason: ``"12 files with endings that are not read: .xyz (12)"``.

    Args:
        unread: the files.
    """
    counts: dict[str, Counter[str]] = {}
    for file in unread:
        counts.setdefault(file.reason, Counter())[file.ending] += 1
    return [_line(reason, counts[reason]) for reason in sorted(counts)]


def fault_lines(faults: Iterable[tuple[str, str]]) -> list[str]:
    """
    Sounds that cannot be read, a line a reason, the commonest first.

    As ``"3 files skipped: the file is empty: .wav (3)"``.

    Args:
        faults: (path, reason); reasons that differ in numbers and names only are counted together.
    """
    return [_line(f"skipped: {kind}", endings) for kind, endings in _by_kind(faults).items()]


def remark_lines(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """
    Sounds that were read with a remark, a line a kind, the commonest first.

    As ``"3 files read with a remark: its channels cancel each other: .wav (3)"``.

    Args:
        remarks: (path, remark); remarks that differ only in numbers and names are counted together.
    """
    counts = _by_kind(remarks)
    return [_line(f"read with a remark: {kind}", endings) for kind, endings in counts.items()]


def _by_kind(reasons: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """The endings of the files by kind of reason, the commonest first."""
    counts: dict[str, Counter[str]] = {}
    for path, reason in reasons:
        counts.setdefault(_kind(reason), Counter())[ending_of(path)] += 1
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1].total(), entry[0])))


def _kind(reason: str) -> str:
    # Where in the file it is, and the rest of a reason, are about the single file.
    reason = re.sub(r"^(?:line|row|byte) \d[\d,]*: ", "", reason.strip())
    first = re.split(r"; |: |, | \(|\n", reason or "no reason is given")[0]
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "...", first)
    return re.sub(r"(?<![A-Za-z]-)\d[\d.,]*", "N", text).rstrip(".")


def _line(what: str, endings: Counter[str]) -> str:
    total, ordered = endings.total(), sorted(endings.items(), key=_most_first)
    listed = ", ".join(f"{ending} ({count:,})" for ending, count in ordered[:_SHOWN])
    more = f" and {len(ordered) - _SHOWN} other endings" if len(ordered) > _SHOWN else ""
    return f"{total:,} file{'' if total == 1 else 's'} {what}: {listed}{more}"


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


__all__ = [
    "Unread",
    "ending_of",
    "fault_lines",
    "is_apple_double",
    "is_index",
    "remark_lines",
    "unread_among",
    "unread_lines",
    "unread_reason",
]
