"""A local page for searching an index: a sentence or a sound in, ranked players that start at the moment out."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..query.filters import metadata_pairs
from ..sound_index import Hit, SearchError, SoundIndex
from .cards import STYLE, card_html
from .feedback import FEEDBACK, note_feedback
from .hosts import bracketed, host_check
from .player import playable
from .sounds import AnsweredSounds
from .uploads import UPLOAD_MEGABYTES, take_uploads

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
        question: the sentence, or ``sound: `` and a path, with ``#t=`` and begin and end of a moment in seconds.
        hits: the best first.
        first: rank of the first one on screen, from 0.
    """

    question: str = ""
    hits: tuple[Hit, ...] = ()
    first: int = 0


def build_page(index: SoundIndex, sounds: AnsweredSounds, *, uploads: Path | None = None) -> "gradio.Blocks":
    """
    The page of an index.

    Args:
        index: opened; its folder gets `feedback.csv` once a mark is set.
        sounds: gets the answers; the application that serves the page has to have its route.
        uploads: visitors may add sounds to this folder, which then belongs to the index; None lets nobody.

    Raises:
        ImportError: if Gradio is not installed.
    """
    gr = _gradio()
    listen = _Listener(gr, index, sounds)
    # What was uploaded to ask by it lies in a cache: after a day, and at the end, it goes.
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
            filters, choices = _filters(gr, index)
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

        # Players get addresses of sounds that lie where they lay: nothing is left for Gradio to copy.
        shown = {"outputs": outputs, "postprocess": False}
        private = {"api_visibility": "private"}
        asked = [sentence, negative, names, *filters]
        search.click(listen.ask, asked, **shown, api_name="search")
        sentence.submit(listen.ask, asked, **shown, **private)
        for button in examples:
            button.click(lambda text: text, [button], [sentence], **private).then(
                listen.ask, asked, **shown, **private
            )
        by_sound.click(listen.ask_by_sound, [upload, *filters], **shown, api_name="similar")
        before.click(listen.turn(-CARDS), [state], **shown, **private)
        after.click(listen.turn(CARDS), [state], **shown, **private)
        for place, (more, good, bad) in enumerate(cards):
            more.click(listen.more_like(place), [state, *filters], **shown, **private)
            good.click(listen.mark(place, fits=True), [state], [note], **private)
            bad.click(listen.mark(place, fits=False), [state], [note], **private)
        page.load(listen.choices, None, choices, show_progress="hidden", **private)
        if uploads is not None:

            def take(chosen: list[str] | None) -> list[Any]:
                with listen.told():
                    return [take_uploads(index, uploads, chosen or []), None, *listen.choices()]

            # One after another: an index has one writer.
            add.click(take, [files], [added, files, *choices], api_name="add", concurrency_limit=1)
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

    Of the files of this machine, only sounds that were answers can be fetched from it.

    Args:
        index: opened.
        host: address to listen at; other machines reach it only if it is changed. At the usual one, and others that
            only this machine reaches, requests that name another host are refused.
        port: None takes a free one from 7860 on.
        open_browser: open the page in the default browser.
        uploads: as in [`build_page`].
    """
    sounds = AnsweredSounds()
    page = build_page(index, sounds, uploads=uploads)
    gr = _gradio()
    page.launch(
        server_name=bracketed(host),
        server_port=port,
        inbrowser=open_browser,
        app_kwargs={"routes": [sounds.route()], "middleware": host_check(host)},
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

    def __init__(self, gr: Any, index: SoundIndex, sounds: AnsweredSounds):
        self.gr, self.index, self.sounds = gr, index, sounds

    @contextmanager
    def told(self) -> Iterator[None]:
        """An error in a query or in the index is shown on the page with its own message, and in no terminal."""
        try:
            yield
        except (SearchError, OSError) as error:
            raise self.gr.Error(str(error), print_exception=False) from error

    def choices(self) -> list[Any]:
        """Of the filters for tags and licenses, as the index is now: others may have changed it."""
        with self.told():
            return [self.gr.update(choices=["", *held]) for held in (self.index.tags, self.index.licenses)]

    def ask(self, sentence: str, negative: str, names: bool, *filters: Any) -> list[Any]:
        unwanted = [negative] if negative and negative.strip() else []

        def find(**options: Any) -> list[Hit]:
            return self.index.search(sentence or "", negative=unwanted, names=names, **options)

        return self._asked(sentence, find, filters)

    def ask_by_sound(self, path: str | None, *filters: Any) -> list[Any]:
        with self.told():
            if not path:
                raise SearchError("Upload or record a sound first.")
        return self._asked(f"sound: {path}", lambda **options: self.index.similar(path, **options), filters)

    def more_like(self, place: int) -> Callable[..., list[Any]]:
        def answer(answers: Answers, *filters: Any) -> list[Any]:
            with self.told():
                hit = self._hit(answers, place)
            moment = {"start": hit.start, "end": hit.end}
            return self._asked(
                f"sound: {hit.path}#t={hit.start:.2f},{hit.end:.2f}",
                lambda **options: self.index.similar(hit.path, **moment, **options),
                filters,
            )

        return answer

    def turn(self, by: int) -> Callable[[Answers], list[Any]]:
        def answer(answers: Answers) -> list[Any]:
            with self.told():
                return self._shown(Answers(answers.question, answers.hits, max(0, answers.first + by)))

        return answer

    def mark(self, place: int, *, fits: bool) -> Callable[[Answers], str]:
        def answer(answers: Answers) -> str:
            with self.told():
                path = self._hit(answers, place).path
                try:
                    note_feedback(self.index.store.folder, answers.question, path, fits=fits)
                except OSError as error:
                    raise SearchError(
                        f"{FEEDBACK}: cannot be written ({error.strerror or error})."
                    ) from error
            return f"Noted in {FEEDBACK}: {_plain(Path(path).name)} {'fits' if fits else 'does not fit'}."

        return answer

    def _hit(self, answers: Answers, place: int) -> Hit:
        if answers.first + place >= len(answers.hits):
            raise SearchError("There is no such answer.")
        return answers.hits[answers.first + place]

    def _asked(self, question: str, find: Callable[..., list[Hit]], filters: Sequence[Any]) -> list[Any]:
        folder, glob, shortest, longest, least, license, metadata = filters
        with self.told():
            if not len(self.index):
                raise SearchError("There are no sounds yet: add some first.")
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
                update(value=self.sounds.value(sound), playback_position=sound.start),
            ]
        note = f"{answers.first + 1} to {answers.first + len(on_screen)} of {len(self.index):,} files"
        return [
            *updates,
            update(visible=answers.first > 0),
            update(visible=answers.first + CARDS < len(answers.hits)),
            answers,
            note if on_screen else "Nothing fits.",
        ]


def _filters(gr: Any, index: SoundIndex) -> tuple[list[Any], list[Any]]:
    """The components, in the order that [`_Listener`] takes their values in; and those that the index fills."""
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
    return [folder, glob, shortest, longest, least, license, metadata], [folder, license]


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
