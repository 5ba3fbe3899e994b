"""The card of one result; all text is escaped."""

from html import escape
from pathlib import Path

from ..query.copies import CopyGroup
from ..query.hits import Hit
from .playing.player import Playable, clock
from .playing.sounds import FileAddress, SoundAddress

LONGEST_CHIP = 120
LEARNED_SCORE = "probability of fitting by a probe; otherwise the cosine similarity to the moved query"
# Paths of copies on one card, at most.
MOST_COPIES = 50


def card_html(rank: int, hit: Hit, note: str = "", *, view: str = "answers") -> str:
    """
    The head of a result: rank, name, path, metadata, moment and score.

    Args:
        rank: from 1.
        hit: the result.
        note: remark about playback.
        view: as of [`Asked`].
    """
    chips = [f"from {clock(hit.start)} of {clock(hit.duration)}", *hit.tags]
    chips += [hit.license] if hit.license else []
    chips += [_shortened(f"{name}: {value}") for name, value in hit.metadata.items()]
    chips += [note] if note else []
    shown, what = (
        (hit.cosine, "cosine similarity, at most 1") if view == "answers" else (hit.score, LEARNED_SCORE)
    )
    fit = f'<div class="hit-score" title="{what}">{shown:.3f}</div>'
    if hit.percentile is not None:
        share = f"{hit.percentile:.0f}"
        fit += (
            f'<div class="hit-bar"><div style="width: {share}%"></div></div>'
            f'<div class="hit-note">fits better than {share} % of common queries</div>'
        )
    return (
        f'<div class="hit" data-view="{view}" data-path="{escape(hit.path)}"><div class="hit-rank">{rank}</div>'
        f'<div class="hit-what"><div class="hit-name" role="heading" aria-level="2">{escape(Path(hit.path).name)}</div>'
        f'<div class="hit-path">{escape(hit.path)}</div><div class="hit-chips">'
        + "".join(f"<span>{escape(chip)}</span>" for chip in chips)
        + f'</div></div><div class="hit-fit">{fit}</div></div>'
    )


def copies_html(group: CopyGroup) -> str:
    """A collapsed list of the identical files; empty if there are none."""
    told = group.told()
    if not told:
        return ""
    others = [*((hit, "") for hit in group.copies), *((hit, " (near)") for hit in group.near)]
    rows = "".join(f"<li>{escape(hit.path)}{kind}</li>" for hit, kind in others[:MOST_COPIES])
    more = len(others) - MOST_COPIES
    rows += f"<li>and {more:,} more</li>" if more > 0 else ""
    return f'<details class="copies"><summary>{escape(told)}</summary><ul>{rows}</ul></details>'


def player_html(sound: Playable, address: SoundAddress, hit: Hit) -> str:
    """
    A player positioned at the moment, with a picture of the recording in which the moment is marked.

    Args:
        sound: what is played of the result.
        address: address of the sound for the page.
        hit: the result.
    """
    start, end = sound.start, sound.start + hit.end - hit.start
    name = escape(Path(hit.path).name)
    return (
        f'<div class="player" data-start="{start:.3f}" data-end="{end:.3f}" data-peaks="{escape(address.peaks)}" '
        f'data-spectrogram="{escape(address.spectrogram)}">'
        '<div class="wave"><canvas aria-hidden="true"></canvas><div class="moment"></div>'
        '<div class="playhead"></div></div>'
        # The fragment is the start time, also if the same file was played before.
        f'<audio controls preload="metadata" aria-label="{name}" src="{escape(address.url)}#t={start:.3f}"></audio>'
        "</div>"
    )


def actions_html(hit: Hit, files: FileAddress, *, reveal: bool) -> str:
    """
    Actions on a result's file: copy its path, show it in its folder, save or drag it or its moment.

    Args:
        hit: the result.
        files: addresses of the sound for the page.
        reveal: whether the page is this machine's own, which can show the folder.
    """
    name = escape(Path(hit.path).name)
    parts = [f'<button type="button" class="copy" data-path="{escape(hit.path)}">Copy path</button>']
    if reveal:
        parts.append(
            f'<button type="button" class="reveal" data-reveal="{escape(files.reveal)}">Show in folder</button>'
        )
    for label, url, saved, kind in (
        ("Save moment (WAV)", files.moment, files.moment_name, "audio/wav"),
        ("Save file", files.file, files.file_name, "application/octet-stream"),
    ):
        parts.append(
            f'<a class="save" draggable="true" href="{escape(url)}" download="{escape(saved)}" data-type="{kind}" '
            f'title="Or drag it into a folder or another program">{label}</a>'
        )
    return f'<div class="actions" role="group" aria-label="File {name}">{"".join(parts)}</div>'


def _shortened(text: str) -> str:
    """What fits on a card of a text that may be a whole log."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_CHIP else f"{text[: LONGEST_CHIP - 1]}…"


__all__ = ["actions_html", "card_html", "copies_html", "player_html"]
