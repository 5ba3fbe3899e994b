"""What the page shows of one answer, and how it looks."""

from html import escape
from pathlib import Path

from ..query.hits import Hit
from .player import Playable, clock
from .sounds import SoundAddress

LONGEST_CHIP = 120
# Both the light and the dark look take their colours from the theme.
STYLE = """
.gradio-container .fillable { max-width: 880px !important; margin: 0 auto !important; }
#title h1 { margin: 0.2rem 0 0; font-size: 1.7rem; letter-spacing: -0.01em; }
#title p { margin: 0; }
#title p, #asked, .hit-rank, .hit-path, .hit-chips span, .hit-note {
  color: color-mix(in srgb, var(--body-text-color) 68%, transparent) !important; }
#ask { gap: 0.5rem; }
#ask button { flex: none; min-width: 7rem; }
#examples { gap: 0.4rem; flex-wrap: wrap; }
#examples button { flex: 0 0 auto; min-width: 0; border-radius: 999px; font-weight: 400; }
#trouble { padding: 0.6rem 1rem; border: 1px solid var(--color-accent); border-radius: 10px; overflow-wrap: anywhere; }
#asked { min-height: 1.5rem; scroll-margin-top: 0.5rem; }
#asked p { margin: 0; overflow-wrap: anywhere; }
#back { flex: 0 0 auto; min-width: 0; align-self: flex-start; }
.card { border: 1px solid var(--border-color-primary) !important; border-radius: 10px !important;
  padding: 0.7rem 1rem !important; gap: 0.2rem !important; background: var(--background-fill-primary) !important; }
.card > *, .card .block { border: none !important; box-shadow: none !important;
  background: transparent !important; }
.card .block { padding: 0 !important; }
.card .component-wrapper { padding: 0 !important; }
.player { display: flex; align-items: center; gap: 0.6rem; flex-wrap: wrap; margin-top: 0.4rem; }
.player audio { flex: 1 1 16rem; min-width: 0; height: 2.4rem; }
.dark .player audio { color-scheme: dark; }
.player a { font-size: 0.8rem; }
.wave { position: relative; flex: 1 0 100%; height: 44px; cursor: pointer; }
.wave canvas { position: absolute; inset: 0; width: 100%; height: 100%;
  color: color-mix(in srgb, var(--body-text-color) 55%, transparent); }
.wave .moment { position: absolute; top: 0; bottom: 0; width: 0; border-radius: 3px;
  background: color-mix(in srgb, var(--color-accent) 28%, transparent); }
.wave .playhead { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--color-accent); }
.card .row { gap: 0.5rem; }
.card .row button { flex: 0 0 auto; min-width: 0; }
.hit { display: flex; gap: 0.9rem; align-items: flex-start; }
.hit-rank { flex: none; width: 1.6rem; font-size: 1.1rem; text-align: right; font-variant-numeric: tabular-nums; }
.hit-what { flex: 1; min-width: 0; }
.hit-name { font-weight: 600; font-size: 1.05rem; overflow-wrap: anywhere; color: var(--body-text-color); }
.hit-path { font-family: var(--font-mono); font-size: 0.75rem; overflow-wrap: anywhere; }
.hit-chips { display: flex; flex-wrap: wrap; gap: 0.3rem; margin-top: 0.25rem; }
.hit-chips span { font-size: 0.72rem; padding: 0 0.5rem; border-radius: 999px; line-height: 1.35rem;
  overflow-wrap: anywhere; border: 1px solid var(--border-color-primary); }
.hit-fit { flex: none; width: 8.5rem; text-align: right; font-variant-numeric: tabular-nums; }
.hit-score { font-size: 1.05rem; font-weight: 600; color: var(--body-text-color); }
.hit-bar { height: 5px; margin: 0.2rem 0; border-radius: 3px; background: var(--border-color-primary); }
.hit-bar div { height: 100%; border-radius: 3px; background: var(--color-accent); }
.hit-note { font-size: 0.72rem; line-height: 1.2; }
@media (max-width: 640px) {
  .hit { flex-wrap: wrap; gap: 0.3rem 0.6rem; }
  .hit-rank { width: auto; }
  .hit-fit { width: 100%; text-align: left; }
}
"""


def card_html(rank: int, hit: Hit, note: str = "") -> str:
    """
    The head of an answer: rank, name, path, metadata, moment and score; every word of it escaped.

    Args:
        rank: from 1.
        hit: the answer.
        note: about what can be played of it.
    """
    chips = [f"from {clock(hit.start)} of {clock(hit.duration)}", *hit.tags]
    chips += [hit.license] if hit.license else []
    chips += [_shortened(f"{name}: {value}") for name, value in hit.metadata.items()]
    chips += [note] if note else []
    fit = f'<div class="hit-score" title="cosine similarity, at most 1">{hit.cosine:.3f}</div>'
    if hit.percentile is not None:
        share = f"{hit.percentile:.0f}"
        fit += (
            f'<div class="hit-bar"><div style="width: {share}%"></div></div>'
            f'<div class="hit-note">fits better than {share} % of common questions</div>'
        )
    return (
        f'<div class="hit" data-path="{escape(hit.path)}"><div class="hit-rank">{rank}</div>'
        f'<div class="hit-what"><div class="hit-name">{escape(Path(hit.path).name)}</div>'
        f'<div class="hit-path">{escape(hit.path)}</div><div class="hit-chips">'
        + "".join(f"<span>{escape(chip)}</span>" for chip in chips)
        + f'</div></div><div class="hit-fit">{fit}</div></div>'
    )


def player_html(sound: Playable, address: SoundAddress, hit: Hit) -> str:
    """
    A player that stands at the moment, with a picture of the sound in which the moment is marked.

    Args:
        sound: what is played of the answer.
        address: where the page fetches it.
        hit: the answer.
    """
    start, end = sound.start, sound.start + hit.end - hit.start
    name = escape(Path(hit.path).name)
    return (
        f'<div class="player" data-start="{start:.3f}" data-end="{end:.3f}" data-peaks="{escape(address.peaks)}">'
        '<div class="wave"><canvas aria-hidden="true"></canvas><div class="moment"></div>'
        '<div class="playhead"></div></div>'
        # The fragment is what a browser starts at, whatever it played before.
        f'<audio controls preload="metadata" aria-label="{name}" src="{escape(address.url)}#t={start:.3f}"></audio>'
        f'<a href="{escape(address.url)}" download="{escape(address.name)}">Download</a></div>'
    )


def _shortened(text: str) -> str:
    """What fits on a card of a text that may be a whole log."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_CHIP else f"{text[: LONGEST_CHIP - 1]}…"


__all__ = ["STYLE", "card_html", "player_html"]
