"""A local page for searching an index: a sentence or a sound in, ranked players that start at the moment out."""

import csv
import os
import time
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .index_folder import IndexFolder
from .sound_index import Hit, SearchError, SoundIndex

if TYPE_CHECKING:
    import gradio

CARDS = 10
EXAMPLES = ("rain on a roof", "a dog barks", "somebody walks on gravel", "a bell rings in the distance")
FEEDBACK = "feedback.csv"


def build_page(index: SoundIndex) -> "gradio.Blocks":
    """
    The page of an index.

    Args:
        index: opened; its folder gets `feedback.csv` once a mark is set.

    Raises:
        ImportError: if Gradio is not installed.
    """
    # Read at import: no telemetry leaves the machine.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("the page needs Gradio: pip install 'auricle[app]'.") from error

    def shown(hits: list[Hit]) -> list[Any]:
        """What the cards become: heading, player, path of each, and the state of the answers."""
        updates: list[Any] = []
        for place in range(CARDS):
            hit = hits[place] if place < len(hits) else None
            updates += [
                gr.update(visible=hit is not None),
                gr.update(value=_heading(place + 1, hit) if hit else ""),
                gr.update(value=hit.path if hit else None, playback_position=hit.start if hit else 0),
            ]
        note = f"{len(hits)} of {len(index):,} files" if hits else "Nothing fits."
        return [*updates, [hit.path for hit in hits], note]

    def ask(
        sentence: str, negative: str, tag: str, shortest: float, longest: float, names: bool
    ) -> list[Any]:
        filters = {"tag": tag or None, "min_duration": shortest or None, "max_duration": longest or None}
        unwanted = [negative] if negative and negative.strip() else []
        try:
            return shown(index.search(sentence or "", top=CARDS, negative=unwanted, names=names, **filters))
        except SearchError as error:
            raise gr.Error(str(error)) from error

    def ask_by_sound(path: str | None) -> list[Any]:
        if path is None:
            raise gr.Error("Upload or record a sound first.")
        try:
            return shown(index.similar(path, top=CARDS))
        except SearchError as error:
            raise gr.Error(str(error)) from error

    def more_like(place: int, paths: list[str]) -> list[Any]:
        if place >= len(paths):
            raise gr.Error("There is no such answer.")
        return ask_by_sound(paths[place])

    def mark(place: int, fits: bool, sentence: str, paths: list[str]) -> str:
        if place >= len(paths):
            raise gr.Error("There is no such answer.")
        note_feedback(index.store.folder, sentence, paths[place], fits=fits)
        return f"Noted in {FEEDBACK}: {Path(paths[place]).name} {'fits' if fits else 'does not fit'}."

    with gr.Blocks(title="Auricle") as page:
        gr.Markdown("# Search your sounds")
        with gr.Tab("By a sentence"):
            sentence = gr.Textbox(label="What should it sound like?", placeholder=EXAMPLES[0], autofocus=True)
            gr.Examples([[text] for text in EXAMPLES], [sentence], cache_examples=False)
            with gr.Accordion("Filters", open=False):
                negative = gr.Textbox(label="What should it not sound like?")
                tag = gr.Dropdown(["", *index.tags], value="", label="Folder")
                shortest = gr.Number(0, label="At least so many seconds", minimum=0)
                longest = gr.Number(0, label="At most so many seconds (0: any)", minimum=0)
                names = gr.Checkbox(False, label="Rank by file names too")
            search = gr.Button("Search", variant="primary")
        with gr.Tab("By a sound"):
            upload = gr.Audio(label="Upload or record", type="filepath", sources=["upload", "microphone"])
            by_sound = gr.Button("Find sounds like it", variant="primary")
        note = gr.Markdown()
        paths = gr.State([])
        cards, outputs = [], []
        for _ in range(CARDS):
            with gr.Group(visible=False) as card:
                heading = gr.Markdown()
                # No button that would send a sound to a web site.
                player = gr.Audio(show_label=False, interactive=False, type="filepath", buttons=["download"])
                with gr.Row():
                    more = gr.Button("More like this", size="sm")
                    good, bad = gr.Button("Fits", size="sm"), gr.Button("Does not fit", size="sm")
            cards.append((more, good, bad))
            outputs += [card, heading, player]
        outputs += [paths, note]
        asked = [sentence, negative, tag, shortest, longest, names]
        search.click(ask, asked, outputs, api_name="search")
        sentence.submit(ask, asked, outputs, api_name=False)
        by_sound.click(ask_by_sound, [upload], outputs, api_name="similar")
        for place, (more, good, bad) in enumerate(cards):
            more.click(lambda found, place=place: more_like(place, found), [paths], outputs, api_name=False)
            for button, fits in ((good, True), (bad, False)):
                button.click(
                    lambda text, found, place=place, fits=fits: mark(place, fits, text, found),
                    [sentence, paths],
                    [note],
                    api_name=False,
                )
    return page


def serve(
    index: SoundIndex, *, host: str = "127.0.0.1", port: int | None = None, open_browser: bool = False
) -> "gradio.Blocks":
    """
    Starts the page and returns it, without waiting for its end: ``local_url`` is its address, ``close()`` ends it.

    Only files below the folders that were indexed can be fetched from it.

    Args:
        index: opened.
        host: address to listen at; other machines reach it only if it is changed.
        port: None takes a free one from 7860 on.
        open_browser: open the page in the default browser.
    """
    page = build_page(index)
    roots = sorted({row["root"] for row in index.store.files().values()})
    page.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        allowed_paths=roots,
        blocked_paths=[str(index.directory)],
        prevent_thread_lock=True,
        quiet=True,
        share=False,
    )
    return page


def note_feedback(folder: IndexFolder, sentence: str, path: str, *, fits: bool) -> None:
    """
    Adds a line to ``feedback.csv`` of an index: time, sentence, path, 1 or 0.

    Raises:
        OSError: if it cannot be written.
    """
    text = StringIO(newline="")
    writer = csv.writer(text)
    kept = folder.read(FEEDBACK) if folder.exists(FEEDBACK) else b""
    if not kept:
        writer.writerow(["time", "sentence", "path", "fits"])
    writer.writerow([time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), sentence, path, int(fits)])
    folder.write(FEEDBACK, kept + text.getvalue().encode())


def _heading(rank: int, hit: Hit) -> str:
    minutes, seconds = divmod(hit.start, 60)
    percentile = (
        "" if hit.percentile is None else f", fits better than {hit.percentile:.0f} % of common questions"
    )
    name = Path(hit.path).name.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")
    return (
        f"**{rank}. {name}** from {int(minutes)}:{seconds:04.1f}, cosine {hit.cosine:.3f}{percentile}  \n"
        f"`{hit.path}`"
    )


__all__ = ["build_page", "note_feedback", "serve"]
