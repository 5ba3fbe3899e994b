"""Every measured figure of the documentation stands in a section that names its command, or whose figure it is."""

import re

import pytest
from test_docs import AGENTS_PAGE, PAGES, ROOT

_FIGURE = re.compile(
    r"""
    \b(?:mAP|MAP|R@|R1@|AUC|IoU|mIoU|recall|cosine)\S*[^.;\n]{0,40}?(?<![\w@.-])[01]?\.\d{2,}  # a metric's value
    | (?<![\w.])\d[\d,.]*\s(?:ms|microseconds|MB|GB|GiB|kB)\b
    | (?<![\w.])\d[\d,.]*\sCPU(?:-ms|[-\s](?:s|seconds|minutes)\b)
    | (?<![\w.])\d+\smin\s\d+\ss\b
    | [-+]?\d?\.\d+\s(?:±|\[|\()[-+\s]?\d?\.?\d
    """,
    re.X,
)
_ROW_WITH_FIGURES = re.compile(r"^\|.*(?<![\w.])[-+]?\d*\.\d+", re.M)
# What can measure: a benchmark, a test, a training run, a command that evaluates or times.
_COMMAND = re.compile(
    r"\b(?:bench|check|compare|make|mteb)_\w+\.py\b|\bbenchmarks/[\w/]+\.py\b|\bpytest tests/"
    r"|\btrain\.py recipes/|\bmake (?:demo|test)"
    r"|\bauricle (?:evaluate|compare|ensemble|ablate|cluster|push)\b"
    r"|\bauricle (?:index .*--frames|search .*--text-tower)\b"
)
# What the sections above may name for their parts.
_SCRIPT = re.compile(r"\bbenchmarks/[\w/]+\.py\b|\bmake demo\b")
# Whose figure it is, or the page that names the command.
_SOURCE = re.compile(r"\bpublishers?\b|\barXiv\b|\bthe (?:paper|report)\b|\bresults\w*\.md\b")
_CODE = re.compile(r"^```.*?^```", re.M | re.S)

# Sections whose numbers are limits, settings or sizes of downloads, with what they are.
NOT_MEASURED = {
    ("api.md", "JSON API"): "the largest request",
    ("api.md", "Who can do what from where"): "an address",
    ("augmentation.md", "Backends"): "addresses",
    ("augmentation.md", "When captions are loaded"): "rates of a recipe",
    ("encoders.md", "Long recordings"): "the size of one array, by arithmetic",
    ("formats.md", "Lengths and places"): "the padding of a format",
    ("formats.md", "Damaged and unfinished files"): "a limit of a format",
    ("pictures.md", "Pictures"): "the largest file",
    ("refine.md", "What ranks"): "constants of a formula",
    ("reproduce.md", "Friday evening"): "sizes of downloads and checkpoints",
    ("results_cost.md", "Results: time, memory and interruptions"): "the machine",
    ("search.md", "Metadata of a sound"): "the largest file",
    ("search.md", "Search"): "options' values",
    ("search.md", "Who can do what"): "limits of uploads",
}


def sections(text: str) -> list[tuple[str, str, str]]:
    """(heading, text, text of the sections above it, with the page's introduction) of a page."""
    blocks = [match.span() for match in _CODE.finditer(text)]
    heads = [
        match
        for match in re.finditer(r"^(#{1,4}) (.+)$", text, re.M)
        if not any(start <= match.start() < end for start, end in blocks)
    ]
    found, above = [], []
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        depth, own = len(head[1]), text[head.end() : after.start() if after else len(text)]
        above = [(level, words) for level, words in above if level < depth]
        found.append((head[2], own, "\n".join(words for _, words in above)))
        above.append((depth, own))
    return found


def has_figures(text: str) -> bool:
    prose = _CODE.sub("", text)
    return bool(_FIGURE.search(prose) or _ROW_WITH_FIGURES.search(prose))


def unsourced(text: str) -> list[str]:
    """Headings of the sections with figures that name neither a command nor a source."""
    return [
        heading
        for heading, own, above in sections(text)
        if has_figures(own) and not (_COMMAND.search(own) or _SOURCE.search(own) or _SCRIPT.search(above))
    ]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_every_figure_names_its_command(page):
    found = [
        heading
        for heading in unsourced(page.read_text(encoding="utf-8"))
        if (page.name, heading) not in NOT_MEASURED
    ]
    assert not found, f"{page.name}: figures without a command or a source under {found}"


def test_every_exception_is_needed():
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    assert not [key for key in NOT_MEASURED if key[1] not in unsourced(pages[key[0]])]


def test_rows_of_the_readme_name_theirs():
    """A table of figures from many runs names a command or a page in each row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (measured,) = [own for heading, own, _ in sections(text) if heading == "What was measured"]
    rows = [row for row in measured.splitlines() if row.startswith("|")][2:]
    assert len(rows) >= 3
    for row in rows:
        assert _COMMAND.search(row) or _SOURCE.search(row), row


def test_scripts_that_pages_name_exist():
    for page in [*PAGES, AGENTS_PAGE]:
        for name in re.findall(r"\bbenchmarks/[\w/]+\.py\b", page.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{page.name}: {name}"
        for name in re.findall(r"(?<![\w/])(?:bench|check)_\w+\.py\b", page.read_text(encoding="utf-8")):
            assert (ROOT / "benchmarks" / name).is_file(), f"{page.name}: {name}"


def test_every_benchmark_is_on_a_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for script in sorted((ROOT / "benchmarks").glob("*_*.py")):
        assert script.name in text, script.name


@pytest.mark.parametrize(
    ("section", "fails"),
    [
        ("mAP@16 is 0.905.", True),
        ("A query takes 24 ms.", True),
        ("| PaSST | 0.905 |", True),
        ("```bash\nauricle search rain\n```\nA query takes 24 ms.", True),
        ("```bash\nauricle evaluate MODEL DATA\n```\nmAP@16 is 0.905.", False),
        ("`benchmarks/bench_index.py`: a query takes 24 ms.", False),
        ("R@1 is 0.277, the publishers' figure.", False),
        ("A window lasts 10 s, and a query may have 200 words.", False),
    ],
)
def test_the_rule(section, fails):
    assert (unsourced(f"# Page\n\n## Part\n\n{section}\n") == ["Part"]) is fails
