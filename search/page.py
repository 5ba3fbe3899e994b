"""A local page for searching an index: a sentence or a sound in, ranked players that start at the moment out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .filters import metadata_pairs
from .page_cards import STYLE, card_html
from .page_feedback import FEEDBACK, note_feedback
from .page_player import playable
from .page_uploads import UPLOAD_MEGABYTES, take_uploads
from .sound_index import Hit, SearchError, SoundIndex

if TYPE_CHECKING:
    import gradio

CARDS = 10
MOST_ANSWERS = 100
EXAMPLES = ("rain on a roof", "a dog barks", "somebody walks on gravel", "a bell rings in the distance")


@dataclass(frozen=True)
class Answers:
    """
    What a page shows, kept by the server for each visitor.

    Attributes:
        question: the sentence, or ``sound: `` and a path.
        hits: the best first.
        first: rank of the first one on screen, from 0.
    """

    question: str = ""
    hits: tuple[Hit, ...] = ()
    first: int = 0


def build_page(index: SoundIndex, *, uploads: Path | None = None) -> "gradio.Blocks":
    """
    The page of an index.

    Args:
        index: opened; its folder gets `feedback.csv` once a mark is set.
        uploads: visitors may add sounds to this folder, which then belongs to the index; None lets nobody.

    Raises:
        ImportError: if Gradio is not installed.
    """
    gr = _gradio()
    listen = _Listener(gr, index)
    # What was uploaded or played lies in a cache of copies: after a day, and at the end, it goes.
    with gr.Blocks(title="Auricle", delete_cache=(3600, 86_400)) as page:
        gr.Markdown("# Search your sounds\nWrite what you want to hear, or give a sound.", elem_id="title")
        if uploads is not None:
            with gr.Accordion("Add sounds", open=not len(index)):
                files = gr.File(label="Recordings", file_count="multiple", type="filepath")
                add = gr.Button("Add to the library", size="sm")
                gr.Markdown("Everybody who opens this page can hear what is added.")
                added = gr.Markdown()
        with gr.Tab("By a sentence"):
            with gr.Row(elem_id="ask"):
                sentence = gr.Textbox(
                    show_label=False,
                    container=False,
                    placeholder=f"What should it sound like? For example: {EXAMPLES[0]}",
                    autofocus=True,
                    max_lines=1,
                )
                search = gr.Button("Search", variant="primary")
            with gr.Row(elem_id="examples"):
                examples = [gr.Button(text, size="sm") for text in EXAMPLES]
            with gr.Accordion("More about the sentence", open=False):
                negative = gr.Textbox(
                    label="What should it not sound like?", placeholder="thunder", max_lines=1
                )
                names = gr.Checkbox(False, label="Rank by the words of file names and folders too")
        with gr.Tab("By a sound"):
            upload = gr.Audio(label="Upload or record", type="filepath", sources=["upload", "microphone"])
            by_sound = gr.Button("Find sounds like it", variant="primary")
        with gr.Accordion("Filters", open=False):
            filters, folder_choice = _filters(gr, index)
        note = gr.Markdown(elem_id="note")
        state = gr.State(Answers())
        cards, outputs = [], []
        for _ in range(CARDS):
            with gr.Column(visible=False, elem_classes="card") as card:
                head = gr.HTML()
                # No button that would send a sound to a web site.
                player = gr.Audio(show_label=False, interactive=False, type="filepath", buttons=["download"])
                with gr.Row():
                    more = gr.Button("More like this", size="sm")
                    good, bad = gr.Button("Fits", size="sm"), gr.Button("Does not fit", size="sm")
            cards.append((more, good, bad))
            outputs += [card, head, player]
        with gr.Row():
            before = gr.Button("Previous answers", size="sm", visible=False)
            after = gr.Button("More answers", size="sm", visible=False)
        outputs += [before, after, state, note]

        asked = [sentence, negative, names, *filters]
        search.click(listen.ask, asked, outputs, api_name="search")
        sentence.submit(listen.ask, asked, outputs, api_visibility="private")
        for button in examples:
            button.click(lambda text: text, [button], [sentence], api_visibility="private").then(
                listen.ask, asked, outputs, api_visibility="private"
            )
        by_sound.click(listen.ask_by_sound, [upload, *filters], outputs, api_name="similar")
        before.click(listen.turn(-CARDS), [state], outputs, api_visibility="private")
        after.click(listen.turn(CARDS), [state], outputs, api_visibility="private")
        for place, (more, good, bad) in enumerate(cards):
            more.click(listen.more_like(place), [state, *filters], outputs, api_visibility="private")
            good.click(listen.mark(place, fits=True), [state], [note], api_visibility="private")
            bad.click(listen.mark(place, fits=False), [state], [note], api_visibility="private")
        if uploads is not None:

            def take(chosen: list[str] | None) -> tuple[str, Any, None]:
                try:
                    said = take_uploads(index, uploads, chosen or [])
                except (SearchError, OSError) as error:
                    raise gr.Error(str(error)) from error
                return said, gr.update(choices=["", *index.tags]), None

            # One after another: an index has one writer.
            add.click(take, [files], [added, folder_choice, files], api_name="add", concurrency_limit=1)
    return page


def serve(
    index: SoundIndex,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    uploads: Path | None = None,
) -> "gradio.Blocks":
    """
    Starts the page and returns it, without waiting for its end: ``local_url`` is its address, ``close()`` ends it.

    Only files below the folders that were indexed can be fetched from it.

    Args:
        index: opened.
        host: address to listen at; other machines reach it only if it is changed.
        port: None takes a free one from 7860 on.
        open_browser: open the page in the default browser.
        uploads: as in [`build_page`].
    """
    page = build_page(index, uploads=uploads)
    gr = _gradio()
    roots = {row["root"] for row in index.store.files().values()}
    if uploads is not None:
        roots.add(os.path.abspath(uploads))
    page.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        allowed_paths=sorted(roots),
        blocked_paths=[str(index.directory)],
        max_file_size=f"{UPLOAD_MEGABYTES}mb",
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        footer_links=[],
        # Letters that the machine has: none is fetched.
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
    )
    return page


class _Listener:
    """What happens on the page: each method takes what stands on it and gives what it shows next."""

    def __init__(self, gr: Any, index: SoundIndex):
        self.gr, self.index = gr, index

    def ask(self, sentence: str, negative: str, names: bool, *filters: Any) -> list[Any]:
        unwanted = [negative] if negative and negative.strip() else []

        def find(**options: Any) -> list[Hit]:
            return self.index.search(sentence or "", negative=unwanted, names=names, **options)

        return self._asked(sentence, find, filters)

    def ask_by_sound(self, path: str | None, *filters: Any) -> list[Any]:
        if not path:
            raise self.gr.Error("Upload or record a sound first.")
        return self._asked(f"sound: {path}", lambda **options: self.index.similar(path, **options), filters)

    def more_like(self, place: int) -> Callable[..., list[Any]]:
        def answer(answers: Answers, *filters: Any) -> list[Any]:
            return self.ask_by_sound(self._hit(answers, place).path, *filters)

        return answer

    def turn(self, by: int) -> Callable[[Answers], list[Any]]:
        return lambda answers: self._shown(
            Answers(answers.question, answers.hits, max(0, answers.first + by))
        )

    def mark(self, place: int, *, fits: bool) -> Callable[[Answers], str]:
        def answer(answers: Answers) -> str:
            path = self._hit(answers, place).path
            try:
                note_feedback(self.index.store.folder, answers.question, path, fits=fits)
            except OSError as error:
                raise self.gr.Error(f"{FEEDBACK}: cannot be written ({error.strerror or error}).") from error
            return f"Noted in {FEEDBACK}: {_plain(Path(path).name)} {'fits' if fits else 'does not fit'}."

        return answer

    def _hit(self, answers: Answers, place: int) -> Hit:
        if answers.first + place >= len(answers.hits):
            raise self.gr.Error("There is no such answer.")
        return answers.hits[answers.first + place]

    def _asked(self, question: str, find: Callable[..., list[Hit]], filters: Sequence[Any]) -> list[Any]:
        if not len(self.index):
            raise self.gr.Error("There are no sounds yet: add some first.")
        folder, glob, shortest, longest, least, license, metadata = filters
        try:
            conditions = {
                "tag": folder or None,
                "glob": (glob or "").strip() or None,
                "min_duration": shortest or None,
                "max_duration": longest or None,
                "min_score": None if least == -1 else least,
                "license": license or None,
                "metadata": metadata_pairs(line for line in (metadata or "").splitlines() if line.strip()),
            }
            return self._shown(Answers(question, tuple(find(top=MOST_ANSWERS, **conditions))))
        except SearchError as error:
            raise self.gr.Error(str(error)) from error

    def _shown(self, answers: Answers) -> list[Any]:
        """Card, head and player of each place; the buttons that turn the page, the state and a note."""
        update = self.gr.update
        updates: list[Any] = []
        on_screen = answers.hits[answers.first : answers.first + CARDS]
        for place in range(CARDS):
            if place >= len(on_screen):
                updates += [update(visible=False), update(value=""), update(value=None, playback_position=0)]
                continue
            hit = on_screen[place]
            sound = playable(hit)
            updates += [
                update(visible=True),
                update(value=card_html(answers.first + place + 1, hit, sound.note)),
                update(value=sound.value, playback_position=sound.start),
            ]
        note = f"{answers.first + 1} to {answers.first + len(on_screen)} of {len(self.index):,} files"
        return [
            *updates,
            update(visible=answers.first > 0),
            update(visible=answers.first + CARDS < len(answers.hits)),
            answers,
            note if on_screen else "Nothing fits.",
        ]


def _filters(gr: Any, index: SoundIndex) -> tuple[list[Any], Any]:
    """The components, in the order that [`_Listener`] takes their values in; and that of folders and tags."""
    with gr.Row():
        folder = gr.Dropdown(["", *index.tags], value="", label="Folder or tag")
        glob = gr.Textbox(label="Path", placeholder="*/rain/*", max_lines=1)
    with gr.Row():
        shortest = gr.Number(0, label="At least so many seconds", minimum=0)
        longest = gr.Number(0, label="At most so many seconds (0: any)", minimum=0)
        least = gr.Slider(-1, 1, -1, step=0.01, label="Score of at least")
    with gr.Row():
        license = gr.Dropdown(["", *index.licenses], value="", label="License")
        metadata = gr.Textbox(label="Metadata", placeholder="NAME=VALUE, one a line", lines=1)
    return [folder, glob, shortest, longest, least, license, metadata], folder


def _gradio() -> Any:
    # Read at import: no telemetry leaves the machine.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise ImportError("the page needs Gradio: pip install 'auricle[app]'.") from error
    return gradio


def _plain(text: str) -> str:
    """Without a meaning in Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-!|~>" else letter for letter in text).replace(
        "<", "&lt;"
    )


__all__ = ["CARDS", "build_page", "serve"]
