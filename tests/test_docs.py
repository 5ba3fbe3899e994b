"""The documentation says what works: options exist, Python compiles, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from auricle.cli.lazy_commands import LazyCommand
from auricle.cli.main import TAKES_RECIPE_FIELDS, app

ROOT = Path(__file__).resolve().parent.parent
AGENTS_PAGE = ROOT / "docs" / "llms.txt"
ROOT_PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md")]
PAGES = [*ROOT_PAGES, *sorted((ROOT / "docs").glob("*.md")), AGENTS_PAGE]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == kind]


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
