"""A local page for searching an index: a sentence or a sound in, ranked players that start at the moment out."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..query.filters import metadata_pairs
from ..sound_index import Hit, SearchError, SoundIndex
from .browser_script import HEAD, TO_THE_ANSWERS
from .cards import STYLE, card_html, player_html
from .feedback import FEEDBACK, note_feedback
from .hosts import bracketed, check_place, host_check, no_proxy
from .player import playable
from .shown_answers import CARDS, MOST_ANSWERS, Answers, asked_by_sentence, asked_by_sound, plain
from .sounds import AnsweredSounds
from .upload_folder import UploadFolder
from .uploads import UPLOAD_MEGABYTES, take_uploads

if TYPE_CHECKING:
    import gradio

    from ..engine.engine import Engine

# What is kept for a visitor is some 0.3 MB; programs that ask leave such a memory at each question.
MOST_SESSIONS = 64
EXAMPLES = ("rain on a roof", "a dog barks", "somebody walks on gravel", "a bell rings in the distance")

# How the page calls the filters.
LABELS = {
    "glob": "Path",
    "tag": "Folder or tag",
    "min_duration": "At least so many seconds:",
    "max_duration": "At most so many seconds:",
    "license": "License",
    "metadata": "Metadata",
}


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
        trouble = gr.Markdown(visible=False, elem_id="trouble")
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
        back = gr.Button(visible=False, size="sm", elem_id="back")
        asked_line = gr.Markdown(elem_id="asked")
        note = gr.Markdown(elem_id="note")
        state = gr.State(Answers())
        cards, outputs = [], []
        for _ in range(CARDS):
            with gr.Column(visible=False, elem_classes="card") as card:
                content = gr.HTML()
                with gr.Row():
                    more = gr.Button("More like this", size="sm")
                    good, bad = gr.Button("Fits", size="sm"), gr.Button("Does not fit", size="sm")
            cards.append((more, good, bad))
            outputs += [card, content]
        with gr.Row():
            before = gr.Button("Previous answers", size="sm", visible=False)
            after = gr.Button("More answers", size="sm", visible=False)
        outputs += [before, after, back, state, asked_line, note]

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
        moved = [
            before.click(listen.turn(-CARDS), [state], **shown, **private),
            after.click(listen.turn(CARDS), [state], **shown, **private),
            back.click(listen.back, [state], **shown, **private),
        ]
        for place, (more, good, bad) in enumerate(cards):
            moved.append(more.click(listen.more_like(place), [state, *filters], **shown, **private))
            good.click(listen.mark(place, fits=True), [state], [note], **private)
            bad.click(listen.mark(place, fits=False), [state], [note], **private)
        # Whoever pressed a button far down would not see that other answers have come.
        for step in moved:
            step.success(None, None, None, js=TO_THE_ANSWERS)
        page.load(listen.trouble, None, [trouble], show_progress="hidden", **private)
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
    beside: "Engine | None" = None,
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
        beside: an engine that the same server serves: its API, and MCP.

    Raises:
        SearchError: if it cannot listen there; the message says why.
    """
    check_place(host, port)
    sounds, folder, gr = AnsweredSounds(), UploadFolder(), _gradio()
    try:
        with folder.chosen(), no_proxy(host):
            page = build_page(index, sounds, uploads=uploads)
            page.launch(
                server_name=bracketed(host),
                server_port=port,
                inbrowser=open_browser,
                app_kwargs={
                    "routes": [*sounds.routes(), *(beside.routes if beside else [])],
                    "middleware": [*host_check(host), folder.limit()],
                    **({"lifespan": beside.lifespan} if beside else {}),
                },
                max_file_size=f"{UPLOAD_MEGABYTES}mb",
                state_session_capacity=MOST_SESSIONS,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                footer_links=[],
                # Letters that the machine has: none is fetched.
                theme=gr.themes.Default(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ),
                css=STYLE,
                head=HEAD,
            )
    except BaseException:
        folder.remove()
        raise
    end = page.close

    def close(verbose: bool = True) -> None:
        end(verbose)
        folder.remove()

    page.close = close
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

    def trouble(self) -> Any:
        """What has to be done before questions can be answered."""
        missing = self.index.missing_model
        return self.gr.update(
            value=f"**No question can be answered.** {plain(missing)}", visible=bool(missing)
        )

    def ask(self, sentence: str, negative: str, names: bool, *filters: Any) -> list[Any]:
        unwanted = [negative] if negative and negative.strip() else []

        def find(**options: Any) -> list[Hit]:
            return self.index.search(sentence or "", negative=unwanted, names=names, **options)

        asked = Answers(sentence, asked_by_sentence(sentence or "", negative or ""))
        return self._asked(asked, find, filters)

    def ask_by_sound(self, path: str | None, *filters: Any) -> list[Any]:
        with self.told():
            if not path:
                raise SearchError("Upload or record a sound first.")
        asked = Answers(f"sound: {path}", asked_by_sound(path))
        return self._asked(asked, lambda **options: self.index.similar(path, **options), filters)

    def more_like(self, place: int) -> Callable[..., list[Any]]:
        def answer(answers: Answers, *filters: Any) -> list[Any]:
            with self.told():
                hit = self._hit(answers, place)
            asked = Answers(
                f"sound: {hit.path}#t={hit.start:.2f},{hit.end:.2f}",
                asked_by_sound(hit.path, hit.start, hit.end),
            ).reached_from(answers)
            moment = {"start": hit.start, "end": hit.end}
            return self._asked(
                asked, lambda **options: self.index.similar(hit.path, **moment, **options), filters
            )

        return answer

    def back(self, answers: Answers) -> list[Any]:
        with self.told():
            if answers.before is None:
                raise SearchError("There are no answers to go back to.")
            return self._shown(answers.before)

    def turn(self, by: int) -> Callable[[Answers], list[Any]]:
        def answer(answers: Answers) -> list[Any]:
            with self.told():
                return self._shown(answers.turned(by))

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
            return f"Noted in {FEEDBACK}: {plain(Path(path).name)} {'fits' if fits else 'does not fit'}."

        return answer

    def _hit(self, answers: Answers, place: int) -> Hit:
        if answers.first + place >= len(answers.hits):
            raise SearchError("These answers are not kept any more: ask again.")
        return answers.hits[answers.first + place]

    def _asked(self, asked: Answers, find: Callable[..., list[Hit]], filters: Sequence[Any]) -> list[Any]:
        folder, glob, shortest, longest, least, license, metadata = filters
        with self.told():
            if not len(self.index):
                raise SearchError("There are no sounds yet: add some first.")
            conditions = {
                "tag": folder or None,
                "glob": (glob or "").strip() or None,
                "min_duration": shortest or None,
                "max_duration": longest or None,
                "license": license or None,
                "metadata": metadata_pairs(line for line in (metadata or "").splitlines() if line.strip()),
            }
            least = None if least == -1 else least
            hits = tuple(find(top=MOST_ANSWERS, min_score=least, **conditions))
            # Of fewer than the most there are no others. A least score leaves an unknown number of more.
            count = len(hits) < MOST_ANSWERS or least is not None
            files = len(hits) if count else self.index.count(**conditions)
            why = "" if hits else self._why_empty(conditions, least, find)
            return self._shown(replace(asked, hits=hits, files=files, why=why))

    def _why_empty(
        self, conditions: dict[str, Any], least: float | None, find: Callable[..., list[Hit]]
    ) -> str:
        told = self.index.why_empty(names=LABELS, **conditions)
        if not told and least is not None:
            best = find(top=1, **conditions)
            told = [f"Score of at least {least:g}: the best file scores {best[0].score:.3f}."] if best else []
        return " ".join(told)

    def _shown(self, answers: Answers) -> list[Any]:
        """Card and content of each place; the buttons that turn the page or lead back, state, question, note."""
        update = self.gr.update
        updates: list[Any] = []
        for place in range(CARDS):
            if place >= len(answers.on_screen):
                updates += [update(visible=False), update(value="")]
                continue
            hit = answers.on_screen[place]
            sound = playable(hit)
            address = self.sounds.address(sound)
            head = card_html(answers.first + place + 1, hit, sound.note)
            player = "" if address is None else player_html(sound, address, hit)
            updates += [update(visible=True), update(value=head + player)]
        back = answers.back()
        return [
            *updates,
            update(visible=answers.first > 0),
            update(visible=answers.first + CARDS < len(answers.hits)),
            update(value=back, visible=bool(back)),
            answers,
            answers.line(),
            "",
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


__all__ = ["CARDS", "build_page", "serve"]
