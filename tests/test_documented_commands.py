"""The documentation's commands are accepted by the real parser; commands and Python run where tiny data suffice."""

import json
import re
import shutil
from pathlib import Path

import click
import pytest
import typer
from test_docs import PAGES, ROOT, blocks, commands
from tiny_models import saved_tiny_model, tiny_model_and_processor, write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle import SoundIndex
from auricle.cli.lazy_commands import LazyCommand
from auricle.cli.main import TAKES_RECIPE_FIELDS, app

# Commands that are only parsed, by the beginning of their words, with the reason.
ONLY_PARSED = {
    r"serve ": "runs until it is interrupted; tests/search/page and tests/search/engine start it",
    r"augment ": "needs a language model's server; tests/cli/test_augment.py",
    r"cluster ": "needs published models and captions; tests/cli/test_cluster.py",
    r"convert ": "needs a publisher's checkpoint; tests/conversion",
    r"data fetch ": "downloads from publishers; tests/data/fetching",
    r"data check (clotho|wavcaps|castella|clotho-moment) ": "needs a published dataset; tests/cli/test_data.py",
    r"data (generate-moments esc10|check moments) ": "needs ESC-10; tests/cli/test_generated_moments.py",
    r"reproduce ": "days of training; tests/training/reproduction runs a miniature",
    r"ablate ": "trains many runs; tests/training/runs",
    r"train ": "trains; tests/cli/test_train_command.py",
    r"push ": "needs a finished run or the Hub; tests/hub",
    r"mteb ": "needs a model on the Hub; tests/hub/test_mteb_entry.py",
    r"report ": "needs a finished run; tests/training/runs/test_run_report.py",
    r"(moments|evaluate) .*--(head|moments)": "needs a trained head or labelled moments; tests/cli",
    r"(evaluate|compare|ensemble) .*\b(clotho|scenes|esc10)\b": "needs a published or generated dataset",
    r"compare .*(e1\.json|runs/folder)": "needs several trained runs; tests/cli/test_compare.py",
    r"evaluate .*(--dims|--index)": "needs a Matryoshka model or an index of a labelled split; tests/search",
    r"embed (--from|runs/a|runs/b)": "needs vectors, or two runs; tests/cli/test_embed.py",
    r"refine wren .*hoplite": "needs a perch-hoplite database; tests/search/refine",
    r"search rain --model /new/place": "needs a model that was moved; tests/search/test_moved_model.py",
    r"export (?!.*--towers)": "takes long; tests/hub/test_onnx_export.py",
    r"detections frogs ": "needs 20 marks; tests/cli/test_refine_command.py",
}
# Names of the documentation that stand for a model.
MODELS = re.compile(
    r"^(MODEL|OTHER_MODEL|owner/name|you/your-model|laion/\S+|facebook/\S+|runs/(demo/refine|folder/)\S*model)$"
)


def documented() -> list[tuple[str, tuple[str, ...]]]:
    """(page, words) of each command of pages and tutorials, each once a page."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for page in [*PAGES, *sorted((ROOT / "tutorials").glob("*.ipynb"))]:
        found.update({(page.name, tuple(words)): None for words, _ in commands(page)})
    return list(found)


def reason_of(words: tuple[str, ...]) -> str | None:
    text = " ".join(words)
    return next((reason for start, reason in ONLY_PARSED.items() if re.match(start, f"{text} ")), None)


@pytest.mark.parametrize("page", sorted({page for page, _ in documented()}))
def test_the_parser_accepts_every_command(page):
    for of, words in documented():
        if of != page or (words[0] in TAKES_RECIPE_FIELDS and "--fields" not in words):
            continue
        command, rest, parent = typer.main.get_command(app), list(words), None
        while hasattr(command, "commands"):
            parent = click.Context(command, parent=parent, info_name=rest[0])
            command = command.commands[rest.pop(0)]
            command = command.load() if isinstance(command, LazyCommand) else command
        try:
            command.make_context(words[0], rest, parent=parent)
        except Exception as error:
            # An option such as --fields prints and leaves with code 0.
            assert getattr(error, "exit_code", 1) == 0, f"{page}: auricle {' '.join(words)}: {error}"


def test_a_wrong_option_is_refused():
    command = typer.main.get_command(app).commands["search"]
    with pytest.raises(Exception, match="no-such-option"):
        command.load().make_context("search", ["rain", "--no-such-option"])


def test_every_reason_is_needed():
    texts = [f"{' '.join(words)} " for _, words in documented()]
    for start in ONLY_PARSED:
        assert any(re.match(start, text) for text in texts), start


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The files that the pages name: a model, recordings, a captioned folder."""
    place = tmp_path_factory.mktemp("documented")
    saved_tiny_model(place / "model")
    for number, name in enumerate(("dog.wav", "rain.wav", "bark.wav", "night.flac", "2024/field.wav")):
        write_sound(place / "home" / "sounds" / name, 5.0 if name == "bark.wav" else 2.0, seed=number)
    write_sound(place / "night.wav", 50.0, seed=9)
    for name in ("dog.wav", "rain.wav", "bark.wav", "night.flac"):
        shutil.copy(place / "home" / "sounds" / name, place / name)
    shutil.copy(place / "rain.wav", place / "day.flac")
    shutil.copy(place / "bark.wav", place / "bark.flac")
    write_captioned_folder(place / "my_sounds")
    for folder in ("sounds", "recordings"):
        shutil.copytree(place / "home" / "sounds", place / folder)
    return place


@pytest.mark.parametrize("page", sorted({page for page, words in documented() if not reason_of(words)}))
def test_commands_run_as_written(page, library, tmp_path, monkeypatch):
    """In the order of the page, on an index that already exists; the model's name is replaced."""
    place = tmp_path / "place"
    shutil.copytree(library, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setenv("USERPROFILE", str(place / "home"))
    model, run = str(place / "model"), CliRunner().invoke
    files = [
        str(Path("~/sounds").expanduser()),
        *(f"{name}.wav" for name in ("night", "rain", "dog", "bark")),
    ]
    done = run(app, ["index", *files, "--model", model, "--index", "sounds.auricle"])
    assert done.exit_code == 0, done.output
    for of, words in documented():
        if of != page or reason_of(words):
            continue
        words = [model if MODELS.match(word) else str(Path(word).expanduser()) for word in words]
        words = [re.sub(r"^(\w+)=(OTHER_)?MODEL$", rf"\1={model}", word) for word in words]
        words = ["my_sounds" if word in ("my-sounds", "DATASET") else word for word in words]
        if words[0] == "index" and ("--model" in words or "--frames" in words) and "--index" not in words:
            words += ["--index", "other.auricle"]
        if words[0] == "index" and "--model" not in words and "other.auricle" in words:
            words += ["--model", model]
        done = run(app, words)
        # 3: nothing fits, which is no fault of the command.
        assert done.exit_code in (0, 3), f"{page}: {words}: {done.output[-600:]} {done.exception!r}"
        if "--json" in words and words[0] in ("search", "similar", "moments"):
            assert isinstance(json.loads(done.stdout), list)


def test_without_a_moment_the_option_is_named(library, tmp_path, monkeypatch):
    monkeypatch.chdir(library)
    index = ["--index", str(tmp_path / "sounds.auricle")]
    run = CliRunner().invoke
    assert run(app, ["index", "sounds", "--model", "model", *index]).exit_code == 0
    done = run(app, ["moments", "sounds/bark.wav", "a car passes", *index, "--min-percentile", "100"])
    assert (done.exit_code, done.stdout) == (3, "no results\n") and "--min-percentile" in done.stderr


# Python that only compiles (tests/test_docs.py), by page and number of its block, with the reason.
ONLY_COMPILED = {
    ("api.md", 0): "needs a running engine; tests/search/engine sends such requests",
    ("encoders.md", 0): "needs a converted BEATs checkpoint; tests/conversion/test_convert.py",
    ("lora.md", 0): "needs a published adapter; tests/training/models/test_lora.py",
    ("mteb.md", 0): "downloads MTEB's data; tests/hub/test_mteb_entry.py",
    ("mteb.md", 1): "an example of what `auricle mteb` prints; tests/hub/test_mteb_entry.py",
    ("teachers.md", 0): "needs Clotho; tests/data/test_clotho.py",
    ("training.md", 0): "needs a finished run; tests/training/runs/test_changed_inputs.py",
}
RUN_ELSEWHERE = {"using.md", "llms.txt"}  # in tests/test_docs.py


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_python_runs_as_written(page, library, tmp_path, monkeypatch):
    if page.name in RUN_ELSEWHERE:
        return
    place = tmp_path / "place"
    shutil.copytree(library, place)
    monkeypatch.chdir(place)
    model, processor = tiny_model_and_processor(tmp_path)
    names: dict = {"model": model, "processor": processor}
    if page.name != "search.md":
        with SoundIndex.create("sounds.auricle", str(place / "model")) as index:
            index.update(["sounds"], progress=False)
    ran = 0
    for number, block in enumerate(blocks(page, "python")):
        if (page.name, number) not in ONLY_COMPILED:
            for name in ("laion/clap-htsat-unfused", "you/your-model"):
                block = block.replace(name, str(place / "model"))
            exec(compile(block, page.name, "exec"), names)
            ran += 1
    assert ran + sum(name == page.name for name, _ in ONLY_COMPILED) == len(blocks(page, "python"))
