"""The documentation says what works: options exist, Python compiles, links lead somewhere."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from auricle.cli.lazy_commands import LazyCommand
from auricle.cli.main import TAKES_RECIPE_FIELDS, app

ROOT = Path(__file__).resolve().parent.parent
AGENTS_PAGE = ROOT / "docs" / "llms.txt"
ROOT_PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md")]
PAGES = [*ROOT_PAGES, *sorted((ROOT / "docs").rglob("*.md")), AGENTS_PAGE]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(page: Path, kind: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) + "\n" for cell in cells)
    return [block for found, block in _BLOCK.findall(text) if found == kind]


def commands(page: Path):
    """(words, text) of every call of ours in a page."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for start, word in enumerate(words):
                if Path(word).name == "auricle" and (start == 0 or words[start - 1] in ("-m", "launch")):
                    yield words[start + 1 :], line
                    break
                if word == "push_to_hub.py":
                    yield ["push", *words[start + 1 :]], line
                    break


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page):
    group = typer.main.get_command(app)
    for words, line in commands(page):
        command, rest = group, list(words)
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command, name = command.commands[rest[0]], rest.pop(0)
            command = command.load() if isinstance(command, LazyCommand) else command
        assert command is not group, f"{page.name}: {line}"
        if name in TAKES_RECIPE_FIELDS:
            continue
        known = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in rest:
            if word.startswith("-") and not re.fullmatch(r"-[\d.]+", word):
                assert word.split("=")[0] in {*known, "--help"}, f"{page.name}: {word} in {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page):
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_headings_that_are_linked_exist():
    def anchors(page: Path) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                linked = (page.parent / target) if target else page
                assert anchor in anchors(linked), f"{page.name}: {target}#{anchor}"


LONGEST_README, LONGEST_PAGE = 120, 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_short(page):
    lines = len(page.read_text(encoding="utf-8").splitlines())
    if page.name == "README.md":
        assert lines <= LONGEST_README
    else:
        assert lines <= LONGEST_PAGE


def test_the_readme_names_every_page_of_docs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*") if page.is_file()}
    assert pages <= set(re.findall(r"docs/([\w.]+\.(?:md|txt))", text))


def test_the_page_on_use_runs_as_written(tmp_path, monkeypatch):
    """Its examples, on a tiny model and tones."""
    from tiny_models import tiny_model_and_processor, write_sound

    from auricle import SoundIndex

    model, processor = tiny_model_and_processor(tmp_path)
    folder = tmp_path / "runs" / "demo" / "refinetune" / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for seed, name in enumerate(("recording.wav", "bark.wav")):
        write_sound(tmp_path / name, 1.0, seed=seed)
    (tmp_path / "metrics").symlink_to(ROOT / "metrics")
    monkeypatch.chdir(tmp_path)
    SoundIndex.create("sounds.auricle", str(folder)).update(["bark.wav"], progress=False)
    ran = 0
    for block in blocks(ROOT / "docs" / "using.md", "python"):
        exec(compile(block, "using.md", "exec"), {})
        ran += 1
    assert ran == 7


def all_options() -> set[str]:
    """Options of every command."""

    def walk(command):
        command = command.load() if isinstance(command, LazyCommand) else command
        yield from (option for one in command.params for option in (*one.opts, *one.secondary_opts))
        for inner in getattr(command, "commands", {}).values():
            yield from walk(inner)

    return {"--help", *walk(typer.main.get_command(app))}


def test_the_page_for_agents_is_short_and_names_what_there_is():
    text = AGENTS_PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    group, known = typer.main.get_command(app), all_options()
    recipe_fields = {"--output_dir"}
    prose = _BLOCK.sub("", text)
    named = re.findall(r"`([^`\n]+)`", prose)
    options = {word for words in named for word in words.split() if word.startswith("--")}
    assert options and options - known - recipe_fields == set()
    assert "--no-such-option" not in known
    for words in named:
        if words.startswith("auricle ") and not words.split()[1].startswith("-"):
            command = words.split()[1]
            assert command == "COMMAND" or command in group.commands, words
    for page in re.findall(r"\b(?:docs/)?\w+\.md\b", prose):
        assert (ROOT / page).is_file(), page
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    listed = re.search(r"Extras add the rest: (.*?)\. `pip", prose, re.S).group(1)
    assert set(re.findall(r"`(\w+)`", listed)) <= set(extras)


def test_the_page_for_agents_runs_as_written(tmp_path, monkeypatch):
    """Its Python, with a tiny model in the place of those it names."""
    from tiny_models import tiny_model_and_processor, write_sound

    model, processor = tiny_model_and_processor(tmp_path)
    folder = tmp_path / "runs" / "demo" / "refinetune" / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (tmp_path / "recordings").mkdir()
    for seed, name in enumerate(("recordings/a.wav", "rain.wav", "bark.wav", "night.flac")):
        write_sound(tmp_path / name, 1.0, seed=seed)
    monkeypatch.chdir(tmp_path)
    found = blocks(AGENTS_PAGE, "python")
    for block in found:
        values: dict = {}
        exec(
            compile(block.replace("laion/clap-htsat-unfused", str(folder)), AGENTS_PAGE.name, "exec"), values
        )
        if "similarities" in values:
            assert values["similarities"].shape == (2, 2) and values["unreadable"] == []
        if "moments" in values:
            assert values["similar"] and isinstance(values["moments"], list)
    assert len(found) == 3
