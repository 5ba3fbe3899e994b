"""The components of the page, and their events."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .assets import KEYBOARD, TO_THE_ANSWERS
from .filter_fields import facets, filter_components
from .first_run import Library, folder_fields
from .listener import Listener
from .playing.sounds import AnsweredSounds
from .shown_answers import CARDS, Answers
from .uploads import take_uploads

if TYPE_CHECKING:
    import gradio

EXAMPLES = ("rain on a roof", "a dog barks", "somebody walks on gravel", "a bell rings in the distance")
PRIVATE = {"api_visibility": "private"}


def build_page(
    gr: Any, library: Library, sounds: AnsweredSounds, *, uploads: Path | None = None
) -> "gradio.Blocks":
    """
    The page of an index.

    Args:
        gr: Gradio.
        library: the library with the index; its folder stores marks and saved searches.
        sounds: receives the results; its routes must be part of the application.
        uploads: visitors may add sounds to this folder, which then belongs to the index; None disables uploads.
    """
    listen = Listener(gr, library, sounds)
    # What was uploaded to ask by it is in a cache: after a day, and at the end, it goes.
    with gr.Blocks(title="Auricle", delete_cache=(3600, 86_400)) as page:
        gr.Markdown("# Search your sounds\nDescribe a sound, or upload a recording.", elem_id="title")
        trouble = gr.Markdown(visible=False, elem_id="trouble")
        first = folder_fields(gr, library)
        if uploads is not None:
            with gr.Accordion("Add sounds", open=library.found is None or not len(library.found)):
                files = gr.File(label="Recordings", file_count="multiple", type="filepath")
                add = gr.Button("Add to the library", size="sm")
                gr.Markdown("Everyone who opens this page can hear the recordings that you add.")
                added = gr.Markdown()
        with gr.Tab("Sentence"):
            with gr.Row(elem_id="ask"):
                sentence = gr.Textbox(
                    label="Describe the sound",
                    show_label=False,
                    container=False,
                    placeholder=f"Describe the sound, for example: {EXAMPLES[0]}",
                    autofocus=True,
                    max_lines=1,
                )
                search = gr.Button("Search", variant="primary")
            with gr.Row(elem_id="examples"):
                examples = [gr.Button(text, size="sm") for text in EXAMPLES]
            with gr.Accordion("More options", open=False):
                negative = gr.Textbox(label="Exclude", placeholder="thunder", max_lines=1)
                names = gr.Checkbox(False, label="Also match file and folder names")
        with gr.Tab("Sound"):
            upload = gr.Audio(label="Upload or record", type="filepath", sources=["upload", "microphone"])
            by_sound = gr.Button("Find similar recordings", variant="primary")
        with gr.Tab("Saved"), gr.Row():
            saved = gr.Dropdown([], label="Saved search", allow_custom_value=True, value=None)
            open_saved = gr.Button("Open", variant="primary")
        with gr.Accordion("Filters", open=False):
            fields, filled = filter_components(gr, facets(library.found))
        with gr.Accordion("View", open=False):
            near = gr.Slider(
                0.8,
                1.0,
                1.0,
                step=0.005,
                label="Group near copies from a cosine of",
                info="At 1, only identical files are grouped.",
            )
            spectrograms = gr.Checkbox(False, label="Show spectrograms", elem_id="spectrograms")
            gr.HTML(KEYBOARD)
        fields.append(near)
        with gr.Row(elem_id="way"):
            back = gr.Button(visible=False, size="sm", elem_id="back")
            earlier = gr.Dropdown(
                [],
                label="Earlier queries",
                visible=False,
                elem_id="earlier",
                allow_custom_value=True,
                container=False,
            )
        asked_line = gr.Markdown(elem_id="asked")
        with gr.Row(visible=False, elem_id="learn") as learn:
            marked = gr.Markdown(elem_id="marked")
            refined = gr.Button("Refine by marks", size="sm", elem_id="refine")
            unsure = gr.Button("Least sure", size="sm", elem_id="unsure")
            plainly = gr.Button("Without marks", size="sm")
            name = gr.Textbox(
                label="Name of the search", show_label=False, container=False, placeholder="Name", max_lines=1
            )
            save = gr.Button("Save search", size="sm")
        note = gr.Markdown(elem_id="note")
        state = gr.State(Answers())
        cards, outputs = [], []
        for _ in range(CARDS):
            with gr.Column(visible=False, elem_classes="card") as card:
                content = gr.HTML()
                with gr.Row():
                    more = gr.Button("More like this", size="sm", elem_classes="more")
                    good = gr.Button("Fits", size="sm", elem_classes="fits")
                    bad = gr.Button("Does not fit", size="sm", elem_classes="unfit")
                    mark = gr.HTML(elem_classes="marked")
            cards.append((more, good, bad, mark))
            outputs += [card, content, mark]
        with gr.Row():
            before = gr.Button("Previous results", size="sm", visible=False, elem_id="previous")
            after = gr.Button("More results", size="sm", visible=False, elem_id="next")
        outputs += [before, after, back, earlier, learn, marked, state, asked_line, note]

        # Players get addresses of sounds that are where they lay: nothing is left for Gradio to copy.
        shown = {"outputs": outputs, "postprocess": False}
        asked = [sentence, negative, names, *fields]
        restored = {"outputs": [*outputs, *asked], "postprocess": False}
        search.click(listen.ask, [state, *asked], **shown, **PRIVATE)
        sentence.submit(listen.ask, [state, *asked], **shown, **PRIVATE)
        for button in examples:
            button.click(lambda text: text, [button], [sentence], **PRIVATE).then(
                listen.ask, [state, *asked], **shown, **PRIVATE
            )
        by_sound.click(listen.ask_by_sound, [state, upload, *fields], **shown, **PRIVATE)
        moved = [
            before.click(listen.turn(-CARDS), [state], **shown, **PRIVATE),
            after.click(listen.turn(CARDS), [state], **shown, **PRIVATE),
            back.click(listen.back, [state], **restored, **PRIVATE),
            earlier.input(listen.again, [state, earlier], **restored, **PRIVATE),
            refined.click(listen.view("refined"), [state], **shown, **PRIVATE),
            unsure.click(listen.view("unsure"), [state], **shown, **PRIVATE),
            plainly.click(listen.view("answers"), [state], **shown, **PRIVATE),
            open_saved.click(listen.open_search, [state, saved, *fields], **shown, **PRIVATE),
        ]
        for button in (save.click, name.submit):
            button(listen.save, [state, name], [saved, name, note], **PRIVATE)
        for place, (more, good, bad, mark) in enumerate(cards):
            moved.append(more.click(listen.more_like(place), [state, *fields], **shown, **PRIVATE))
            noted = {"outputs": [mark, marked, note], "show_progress": "hidden", **PRIVATE}
            good.click(listen.mark(place, fits=True), [state], **noted)
            bad.click(listen.mark(place, fits=False), [state], **noted)
        # Scroll up: a user who pressed a button at the bottom would not see the new results.
        for step in moved:
            step.success(None, None, None, js=TO_THE_ANSWERS)
        spectrograms.change(None, [spectrograms], None, js="(on) => window.auricle.spectrograms(on)")

        run = [first[name] for name in ("column", "text", "model", "running", "bar", "stop", "clock")]
        quiet = {"show_progress": "hidden", **PRIVATE}
        page.load(listen.opened, None, [trouble, saved, *run, *filled], **quiet)
        start = [first["folder"], first["model"]]
        first["start"].click(listen.start, start, run, **quiet)
        first["folder"].submit(listen.start, start, run, **quiet)
        first["stop"].click(listen.stop, None, None, **quiet)
        first["clock"].tick(listen.tick, None, [*run, *filled], **quiet)
        _programs(gr, listen, outputs)
        if uploads is not None:

            def take(chosen: list[str] | None) -> list[Any]:
                with listen.told():
                    return [take_uploads(library.index, uploads, chosen or []), None, *listen.choices()]

            # One after another: an index has one writer.
            add.click(take, [files], [added, files, *filled], api_name="add", concurrency_limit=1)
    return page


def _programs(gr: Any, listen: Listener, outputs: list[Any]) -> None:
    """Named endpoints of Gradio's own API: their inputs stay the same when the page changes."""

    def ask(
        sentence: str, negative: str, names: bool, folder: str, glob: str, shortest: float, longest: float,
        least: float, license: str, metadata: str,
    ) -> list[Any]:  # fmt: skip
        filters = (folder, glob, shortest, longest, least, license, metadata)
        return listen.ask(Answers(), sentence, negative, names, *filters)

    def similar(
        sound: str | None, folder: str, glob: str, shortest: float, longest: float, least: float, license: str,
        metadata: str,
    ) -> list[Any]:  # fmt: skip
        filters = (folder, glob, shortest, longest, least, license, metadata)
        return listen.ask_by_sound(Answers(), sound, *filters)

    hidden = {"visible": False}
    texts = {
        name: gr.Textbox("", label=name, **hidden)
        for name in ("sentence", "negative", "folder", "glob", "license", "metadata")
    }
    numbers = {name: gr.Number(0, label=name, **hidden) for name in ("shortest", "longest")}
    names, least = gr.Checkbox(False, label="names", **hidden), gr.Number(-1, label="least", **hidden)
    sound = gr.Audio(label="sound", type="filepath", **hidden)
    filters = [
        texts["folder"], texts["glob"], numbers["shortest"], numbers["longest"], least, texts["license"],
        texts["metadata"],
    ]  # fmt: skip
    shown = {"outputs": outputs, "postprocess": False}
    asked = [texts["sentence"], texts["negative"], names, *filters]
    gr.Button("search", **hidden).click(ask, asked, **shown, api_name="search")
    gr.Button("similar", **hidden).click(similar, [sound, *filters], **shown, api_name="similar")


__all__ = ["build_page"]
