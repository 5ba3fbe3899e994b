"""The rules of the house, read from the sources: floors, what may travel, packaging, no machine paths.

Every rule is a function from source text to a list of violations. It is applied to the repository, and to
planted violations, so that a rule that no longer sees anything fails too.
"""

import ast
import graphlib
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from transformers.dynamic_module_utils import get_relative_imports

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "auricle"
TRAVELLING = ("modeling", "processing")
NOT_PACKAGED = ("tests", "benchmarks", "docs", "metrics", "tutorials")

# A room imports rooms on lower floors only.
FLOORS = {
    "auto_classes": -1,  # below both rooms that travel: it names them, but imports nothing of ours
    "package": 0,  # the root's __init__.py; its look-ups of names in rooms are no arrows
    "modeling": 0,
    "processing": 0,
    "files": 0,
    "evaluation/metrics": 0,  # pure functions: a room of its own
    "recipes": 0,
    "model_cards": 0,
    "data": 1,
    "conversion": 1,
    "encoders": 2,
    "evaluation": 3,
    "training": 4,
    "search": 4,
    "hub": 5,
    "cli": 6,
    "scripts": 7,  # train.py, push_to_hub.py, __main__.py
}
# Rooms inside rooms have floors too; "" stands for the modules that lie in the room itself.
INNER_FLOORS = {
    "data": {"": 0, "fetching": 1},
    "encoders": {"settings": 0, "engines": 1, "": 2, "recordings": 3, "public": 3},
    "evaluation": {"moments": 0, "user_queries": 0, "": 0, "ensembles": 1, "reports": 1, "comparison": 2},
    "training": {
        "recipe": 0,
        "losses": 0,
        "models": 1,
        "teachers": 1,
        "clusters": 2,
        "rows": 2,
        "": 3,
        "moments": 4,
        "runs": 4,
        "reproduction": 5,
    },
    "search": {
        "errors": 0,
        "store": 1,
        "update": 2,
        "query": 2,
        "moments": 3,
        "refine": 3,
        "": 4,
        "engine": 5,
        "page": 6,
    },
}
ROOMS = {unit for unit in FLOORS if "/" not in unit} - {"auto_classes", "package", "scripts"}
LARGEST_FOLDER = 16  # Python files, without __init__.py
LONGEST_MODULE = 420  # lines
# They travel flat, or hold a module a command.
FREE_FOLDERS = ("modeling", "processing", "cli")
SCRIPTS = ("train", "push_to_hub", "__main__")
ALLOWED = {"torch", "transformers", "numpy", "huggingface_hub"}
OPTIONAL = {"soundfile", "soxr", "av"}  # in a try that catches ImportError


# ------------------------------------------------------------------------------------ the repository


def files_of_repository() -> Iterator[Path]:
    """Every file of the project, leaving out environments, caches, build leftovers and runs."""
    for folder, folders, names in os.walk(ROOT):
        at_root = Path(folder) == ROOT
        # Pruned before they are entered: an environment holds tens of thousands of files.
        folders[:] = sorted(
            name
            for name in folders
            if name != "__pycache__"
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name in (".ci", ".github"))
            and not (at_root and name in ("build", "dist", "runs"))
        )
        # In a working tree of git's own, `.git` is a file that names the repository's place.
        yield from (Path(folder, name) for name in sorted(names) if name != ".git")


def sources(*folders: str) -> dict[str, str]:
    """``{"data/folder.py": text}`` for the Python files below the named folders, or of the repository."""
    texts = {}
    for path in files_of_repository():
        name = path.relative_to(ROOT)
        if path.suffix == ".py" and (not folders or name.parts[0] in folders):
            texts[name.as_posix()] = path.read_text(encoding="utf-8")
    return texts


def packaged_sources() -> dict[str, str]:
    return {name: text for name, text in sources().items() if name.split("/")[0] not in NOT_PACKAGED}


def travelling_sources() -> dict[str, str]:
    """What checkpoints carry: the ``__init__.py`` of the two rooms stays at home."""
    return {name: text for name, text in sources(*TRAVELLING).items() if not name.endswith("__init__.py")}


# ------------------------------------------------------------------------------------------- floors


def unit_of(module: tuple[str, ...]) -> str:
    """The unit on a floor that a module of the package belongs to, e.g. ("data", "folder") -> "data"."""
    if not module:
        return "package"
    if "/".join(module[:2]) in FLOORS:
        return "/".join(module[:2])
    if len(module) == 1 and module[0] in SCRIPTS:
        return "scripts"
    if len(module) > 1 and module[1] in INNER_FLOORS.get(module[0], {}):
        return "/".join(module[:2])
    return module[0]


def floor_of(unit: str) -> tuple[str, int | None, int]:
    """(room, its floor, the floor within it) of a unit; no floor for a room that stands on none."""
    if unit in FLOORS:
        return unit, FLOORS[unit], INNER_FLOORS.get(unit, {}).get("", 0)
    room, _, inner = unit.partition("/")
    return room, FLOORS.get(room), INNER_FLOORS.get(room, {}).get(inner, 0)


def points_down(here: str, there: str) -> bool:
    """Whether a module of one unit may import a module of another one."""
    room, floor, inner = floor_of(here)
    other_room, other_floor, other_inner = floor_of(there)
    return inner > other_inner if room == other_room else floor > other_floor


def module_of(file: str) -> tuple[str, ...]:
    parts = tuple(Path(file).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def lazy_front_door(tree: ast.Module) -> set[int]:
    """Nodes of the root's __init__.py that `import auricle` does not run: look-ups, and what type checkers read."""
    lazy = set()
    for node in ast.walk(tree):
        body: list[ast.stmt] = []
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            body = node.body
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            body = node.body  # and not its else, which runs
        lazy |= {id(inner) for statement in body for inner in ast.walk(statement)}
    return lazy


def own_imports(file: str, text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every import of a module of the package as (module, line), wherever it stands but in the front door."""
    folder, tree = Path(file).parent.parts, ast.parse(text)
    lazy = lazy_front_door(tree) if file == "__init__.py" else set()
    for node in ast.walk(tree):
        if id(node) in lazy:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    yield tuple(alias.name.split(".")[1:]), node.lineno
        elif isinstance(node, ast.ImportFrom):
            named = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = folder[: len(folder) - (node.level - 1)] + named
            elif named[0] == PACKAGE:
                base = named[1:]
            else:
                continue
            for alias in node.names:
                # `from ..evaluation import metrics` names a module, `from ..evaluation import f` a function
                finer = (*base, alias.name)
                is_module = unit_of(finer) != unit_of(base) and floor_of(unit_of(finer))[1] is not None
                yield (finer if is_module else base), node.lineno


def imports_that_point_up(files: Mapping[str, str]) -> list[str]:
    found = []
    for file, text in files.items():
        here = unit_of(module_of(file))
        if floor_of(here)[1] is None:
            found.append(f"{file}: {here} stands on no floor")
            continue
        for module, line in own_imports(file, text):
            there = unit_of(module)
            if there == here:
                continue
            if floor_of(there)[1] is None:
                found.append(f"{file}:{line}: {there} stands on no floor")
            elif not points_down(here, there):
                found.append(f"{file}:{line}: {here} imports {there}")
    return found


def cycles_between_units(files: Mapping[str, str]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for file, text in files.items():
        here = unit_of(module_of(file))
        graph.setdefault(here, set()).update(unit_of(module) for module, _ in own_imports(file, text))
        graph[here].discard(here)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def test_no_import_points_up():
    assert imports_that_point_up(packaged_sources()) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("modeling/a.py", "from ..processing import f"),
        ("processing/a.py", "from .. import modeling"),
        ("modeling/a.py", "def f():\n    from ..data.schema import g"),
        ("files/a.py", "from ..processing import f"),
        ("evaluation/metrics/a.py", "from ..protocol import f"),
        ("evaluation/metrics/a.py", "from ...data.schema import f"),
        ("evaluation/a.py", "from .ensembles.ensemble import f"),
        ("encoders/a.py", "from ..evaluation.retrieval import f"),
        ("training/losses/a.py", "from ..recipe.schema import f"),
        ("training/teachers/a.py", "from ..clusters import f"),
        ("training/rows/a.py", "from .. import retrieval_trainer"),
        ("training/runs/a.py", "from ...search.store.entries import f"),
        ("search/store/a.py", "from ..query.hits import Hit"),
        ("search/sound_index.py", "from .page.app import f"),
        ("search/page/a.py", "from ...training.recipe.schema import f"),
        ("data/a.py", "from ..training import f"),
        ("data/scenes/a.py", "from ...evaluation import f"),
        ("data/sources/a.py", "from ..fetching import f"),
        ("evaluation/a.py", "import auricle.training.trainer"),
        ("evaluation/a.py", "from ..training.recipe.schema import f"),
        ("training/a.py", "from auricle.search import f"),
        ("search/a.py", "from ..hub import f"),
        ("hub/a.py", "from ..cli.main import f"),
        ("cli/a.py", "from ..train import main"),
        ("__init__.py", "from .modeling import AuricleModel"),
        ("__init__.py", "try:\n    from . import search\nexcept ImportError:\n    search = None"),
        ("__init__.py", "def f():\n    from .search import SoundIndex"),
        ("__init__.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from .search import SoundIndex"),
        ("__init__.py", "if not TYPE_CHECKING:\n    from .search import SoundIndex"),
        ("search/__init__.py", "def __getattr__(name):\n    from ..hub import f"),
        ("auto_classes.py", "def f():\n    from .modeling import AuricleModel"),
        ("modeling/__init__.py", "from .. import __version__"),
        ("attic/a.py", "x = 1"),
    ],
)
def test_an_import_that_points_up_is_seen(file, text):
    assert len(imports_that_point_up({file: text})) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("modeling/a.py", "from .b import f\nimport torch"),
        ("data/a.py", "from ..processing.audio_reading import f\nfrom .. import __version__"),
        ("data/a.py", "from ..evaluation import metrics\nfrom ..evaluation.metrics.bootstrap import f"),
        ("data/scenes/a.py", "from ..schema import f\nfrom . import signals"),
        ("data/fetching/a.py", "from ..sources.split_zip import f\nfrom ...files.json_files import g"),
        (
            "training/a.py",
            "from ..evaluation import f\nfrom ..modeling import g\nfrom .losses.objective import h",
        ),
        ("training/runs/a.py", "from ..retrieval_trainer import f\nfrom ..rows.collator import g"),
        ("search/query/a.py", "from ..store.entries import f\nfrom ..errors import SearchError"),
        ("search/page/a.py", "from ..sound_index import f\nfrom ...encoders import g"),
        ("evaluation/__init__.py", "from .metrics import f"),
        ("hub/a.py", "from ..training import f"),
        ("train.py", "from auricle.cli.train import main"),
        ("__init__.py", "def __getattr__(name):\n    from . import modeling as room"),
        ("__init__.py", "if TYPE_CHECKING:\n    from .search import SoundIndex\nelse:\n    x = 1"),
        ("modeling/__init__.py", "from ..auto_classes import register_auto_classes"),
    ],
)
def test_an_import_that_points_down_is_allowed(file, text):
    assert imports_that_point_up({file: text}) == []


def test_rooms_do_not_import_each_other_in_circles():
    assert cycles_between_units(packaged_sources()) == []


def test_a_circle_is_seen():
    files = {
        "data/a.py": "from ..search.b import f",
        "search/b.py": "from ..hub import g",
        "hub/__init__.py": "def h():\n    from ..data import a",
    }
    assert len(cycles_between_units(files)) == 1
    del files["hub/__init__.py"]
    assert cycles_between_units(files) == []
    files["__init__.py"] = "def __getattr__(name):\n    from . import data as room"
    files["data/a.py"] += "\nfrom .. import __version__"
    assert cycles_between_units(files) == []
    files["__init__.py"] = "from . import data"
    assert len(cycles_between_units(files)) == 1


# ------------------------------------------------------------------------------------ size of rooms


def crowded_folders(files: Iterable[str]) -> list[str]:
    """Folders of the package with more Python files than a newcomer takes in at a glance."""
    counts = Counter(Path(file).parent.as_posix() for file in files if Path(file).name != "__init__.py")
    return [
        f"{folder}: {count} Python files"
        for folder, count in sorted(counts.items())
        if count > LARGEST_FOLDER and folder not in FREE_FOLDERS
    ]


def long_modules(files: Mapping[str, str]) -> list[str]:
    lines = {file: len(text.splitlines()) for file, text in files.items()}
    return [f"{file}: {count} lines" for file, count in lines.items() if count > LONGEST_MODULE]


def rooms_without_a_docstring(files: Mapping[str, str]) -> list[str]:
    """`__init__.py` files of rooms with code that do not say what lives there."""
    inits = {file: text for file, text in files.items() if Path(file).name == "__init__.py"}
    no_code = ("recipes/__init__.py", "model_cards/__init__.py")  # templates and YAML alone
    return [
        file for file, text in inits.items() if file not in no_code and not ast.get_docstring(ast.parse(text))
    ]


def test_rooms_are_small():
    files = packaged_sources()
    assert crowded_folders(files) == []
    assert long_modules(files) == []
    assert rooms_without_a_docstring(files) == []


def test_a_crowded_folder_a_long_module_and_a_silent_room_are_seen():
    names = [f"search/a{number}.py" for number in range(LARGEST_FOLDER)]
    assert crowded_folders([*names, "search/__init__.py"]) == []
    assert crowded_folders([*names, "search/one_more.py"]) == [f"search: {LARGEST_FOLDER + 1} Python files"]
    assert crowded_folders([f"cli/a{number}.py" for number in range(40)]) == []
    assert long_modules({"a.py": "x\n" * LONGEST_MODULE}) == []
    assert long_modules({"a.py": "x\n" * (LONGEST_MODULE + 1)}) == [f"a.py: {LONGEST_MODULE + 1} lines"]
    assert rooms_without_a_docstring({"data/__init__.py": "x = 1", "hub/__init__.py": '"""Cards."""'}) == [
        "data/__init__.py"
    ]


# ----------------------------------------------------------------------------- who knows model classes

MODEL_CLASSES = {"AuricleModel"}
MAY_NAME_MODEL_CLASSES = (
    "__init__.py",
    "encoders/",
    "modeling/",
    "processing/",
    "conversion/",
    "hub/",
    "training/models/",
    "training/retrieval_trainer.py",
    "training/trainer_callbacks.py",
)


def named_model_classes(files: Mapping[str, str]) -> list[str]:
    """Places that know a model class, where everything else goes through the encoder's interface."""
    return [
        f"{file}:{node.lineno}: {name}"
        for file, text in files.items()
        if not file.startswith(MAY_NAME_MODEL_CLASSES)
        for node in ast.walk(ast.parse(text))
        for name in MODEL_CLASSES & names_in(node)
    ]


def names_in(node: ast.AST) -> set[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            return {name}
        case ast.Constant(value=str(text)):
            return set(re.findall(r"\w+", text)) if text.isidentifier() else set()
    return set()


def test_only_encoders_and_model_builders_know_model_classes():
    assert named_model_classes(packaged_sources()) == []


def test_a_model_class_in_another_room_is_seen():
    planted = "from ..modeling import AuricleModel\n\ndef f(model: AuricleModel): ..."
    assert len(named_model_classes({"search/a.py": planted})) == 2
    assert named_model_classes({"encoders/a.py": planted}) == []


# --------------------------------------------------------------------------- how rooms are named


def bare_room_imports(file: str, text: str) -> list[str]:
    """`import modeling`, `from data.schema import x`: second copies of our own modules."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        found += [
            f"{file}:{node.lineno}: {name}"
            for name in names
            if name.split(".")[0] in ROOMS | {"train", "push_to_hub"}
        ]
    return found


def absolute_imports_in_rooms(file: str, text: str) -> list[str]:
    """Inside the package rooms import each other relatively; only the scripts and tests spell `auricle.`."""
    if unit_of(module_of(file)) == "scripts":
        return []
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            continue
        found += [f"{file}:{node.lineno}: {name}" for name in names if name.split(".")[0] == PACKAGE]
    return found


def test_no_room_is_imported_by_its_bare_name():
    assert [hit for file, text in sources().items() for hit in bare_room_imports(file, text)] == []


@pytest.mark.parametrize(
    "text", ["import modeling", "import os, data.schema", "from evaluation.metrics import f", "import train"]
)
def test_a_bare_room_name_is_seen(text):
    assert len(bare_room_imports("tests/a.py", f"def f():\n    {text}")) == 1
    assert bare_room_imports("tests/a.py", "import auricle.data\nfrom .data import f\nimport datasets") == []


def test_rooms_import_each_other_relatively():
    found = [
        hit for file, text in packaged_sources().items() for hit in absolute_imports_in_rooms(file, text)
    ]
    assert found == []


def test_an_absolute_import_in_a_room_is_seen():
    assert len(absolute_imports_in_rooms("cli/a.py", "def f():\n    from auricle.data import g")) == 1
    assert len(absolute_imports_in_rooms("cli/a.py", "import auricle")) == 1
    assert absolute_imports_in_rooms("train.py", "from auricle.cli.train import main") == []


# ------------------------------------------------------------------------------------- what travels


def catches_import_error(node: ast.Try) -> bool:
    caught = [handler.type for handler in node.handlers]
    names = [item for kind in caught for item in (kind.elts if isinstance(kind, ast.Tuple) else [kind])]
    return any(isinstance(name, ast.Name) and name.id == "ImportError" for name in names)


def travelling_import_faults(file: str, text: str, siblings: set[str]) -> list[str]:
    """Imports that would break a checkpoint's code where the package is not installed.

    Args:
        siblings: the stems of the files in the same folder.
    """
    tree = ast.parse(text)
    top = {id(node) for node in tree.body}
    guarded = {
        id(node)
        for block in tree.body
        if isinstance(block, ast.Try) and catches_import_error(block)
        for node in block.body
    }
    found = []
    for node in ast.walk(tree):
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if id(node) not in top | guarded:
            found.append(f"{where}: an import below the top level")
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level != 1 or node.module is None or "." in node.module:
                found.append(f"{where}: only `from .stem import name` is followed when a checkpoint is saved")
            elif node.module not in siblings:
                found.append(f"{where}: .{node.module} is no file of this folder")
            continue
        names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in {name.split(".")[0] for name in names}:
            optional = name in OPTIONAL and id(node) in guarded
            if name not in ALLOWED and name not in sys.stdlib_module_names and not optional:
                found.append(f"{where}: {name} may not be imported here")
    return found


def relative_import_lookalikes(file: str, text: str) -> list[str]:
    """Lines in strings that transformers, which reads the file by regular expression, takes for imports."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines = [line for line in node.value.splitlines() if re.match(r"\s*(from|import)\s+\.", line)]
            found += [f"{file}:{node.lineno}: {line.strip()}" for line in lines]
    return found


def tokenizer_names(file: str, text: str) -> list[str]:
    """transformers treats classes with this word in their name apart when it writes `auto_map`."""
    names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    return [f"{file}: {name}" for name in (Path(file).stem, *names) if "tokenizer" in name.lower()]


def layout_faults(files: list[str]) -> list[str]:
    """Python files of the travelling rooms that are nested, or share a stem: all land in one flat folder."""
    found = [f"{file}: not flat" for file in files if len(Path(file).parts) != 2]
    seen: dict[str, str] = {}
    for file in files:
        stem = Path(file).stem
        if stem != "__init__" and stem in seen:
            found.append(f"{file}: same stem as {seen[stem]}")
        seen.setdefault(stem, file)
    return found


def test_travelling_files_import_only_what_a_checkpoint_can():
    files = travelling_sources()
    found = []
    for file, text in files.items():
        siblings = {Path(other).stem for other in files if Path(other).parent == Path(file).parent}
        found += travelling_import_faults(file, text, siblings)
    assert files
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "from . import b",
        "from .b.c import f",
        "from ..processing import f",
        "from .elsewhere import f",
        "from auricle.modeling import f",
        "import modeling.b",
        "import datasets",
        "import soundfile",
        "import os, scipy.signal",
        "def f():\n    import os",
        "def f():\n    from .b import g",
        "class A:\n    import torch",
        "if TYPE_CHECKING:\n    from .b import g",
        "if True:\n    import torch",
        "try:\n    import soundfile\nexcept OSError:\n    soundfile = None",
        "try:\n    import torchaudio\nexcept ImportError:\n    torchaudio = None",
        "try:\n    import soxr\nexcept ImportError:\n    import numpy",
    ],
)
def test_an_import_that_cannot_travel_is_seen(text):
    assert travelling_import_faults("modeling/a.py", text, {"a", "b"}) != []


def test_imports_that_travel_are_allowed():
    text = (
        "from __future__ import annotations\nimport math\nimport torch.nn.functional as F\n"
        "from transformers import AutoModel\nfrom .b import (\n    f,\n    g,\n)\n"
        "try:\n    import soxr\nexcept (ImportError, OSError):\n    soxr = None\n"
    )
    assert travelling_import_faults("modeling/a.py", text, {"a", "b"}) == []


def test_no_string_looks_like_a_relative_import():
    found = [
        hit for file, text in travelling_sources().items() for hit in relative_import_lookalikes(file, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        '"""Usage.\n\n    from .nowhere import x\n"""',
        "def f():\n    '''Doc.\n    import .nowhere\n    '''",
        "x = 'from .a import b'",
        "x = f'''\nfrom .a import {1}'''",
    ],
)
def test_a_string_that_looks_like_a_relative_import_is_seen(text):
    assert len(relative_import_lookalikes("modeling/a.py", text)) == 1
    assert (
        relative_import_lookalikes("modeling/a.py", "from .a import b\nx = 'taken from .a, import it'") == []
    )


def test_transformers_finds_exactly_our_relative_imports():
    for file, text in travelling_sources().items():
        nodes = [
            node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.level
        ]
        assert set(get_relative_imports(ROOT / file)) == {node.module for node in nodes}, file


def test_travelling_rooms_are_flat_with_stems_of_their_own():
    assert layout_faults(list(sources(*TRAVELLING))) == []


def test_nested_files_and_shared_stems_are_seen():
    assert len(layout_faults(["modeling/utils.py", "processing/utils.py"])) == 1
    assert len(layout_faults(["modeling/passt/layers.py"])) == 1
    assert layout_faults(["modeling/__init__.py", "processing/__init__.py", "modeling/a.py"]) == []


def test_no_travelling_name_contains_tokenizer():
    assert [hit for file, text in travelling_sources().items() for hit in tokenizer_names(file, text)] == []


def test_a_name_containing_tokenizer_is_seen():
    assert len(tokenizer_names("modeling/a.py", "if True:\n    class AuricleTokenizerFast: ...")) == 1
    assert len(tokenizer_names("processing/tokenizer_auricle.py", "")) == 1
    assert tokenizer_names("modeling/a.py", "tokenizer = AutoTokenizer") == []


# ---------------------------------------------------------------------------------------- packaging


def packaging_faults(pyproject: str, files: list[str]) -> set[str]:
    """Packages listed without Python files, or folders with Python files that are not listed."""
    setuptools = tomllib.loads(pyproject)["tool"]["setuptools"]
    assert setuptools["package-dir"] == {PACKAGE: "."}
    folders = {Path(file).parent.parts for file in files}
    needed = {
        ".".join((PACKAGE, *parts)) for parts in folders if parts[:1] not in {(n,) for n in NOT_PACKAGED}
    }
    return needed ^ set(setuptools["packages"])


def test_every_folder_of_python_files_is_packaged():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert packaging_faults(pyproject, list(sources())) == set()


def test_a_missing_and_a_superfluous_package_are_seen():
    pyproject = '[tool.setuptools]\npackages = ["auricle", "auricle.hub"]\npackage-dir = { auricle = "." }'
    files = ["train.py", "data/scenes/kinds.py", "tests/data/test_a.py"]
    assert packaging_faults(pyproject, files) == {"auricle.hub", "auricle.data.scenes"}


def test_every_packaged_folder_has_an_init_file():
    folders = {(ROOT / file).parent for file in packaged_sources()}
    assert [folder.name for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_type_checkers_are_told_that_there_are_types():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "py.typed" in setuptools["package-data"][PACKAGE]
    assert (ROOT / "py.typed").is_file()


def test_the_installed_av_is_in_the_declared_range():
    """Its major versions follow FFmpeg's: each may decode, count and name options in another way."""
    from importlib.metadata import version

    from packaging.specifiers import SpecifierSet

    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    (declared,) = (one.removeprefix("av") for one in dependencies if re.match(r"av[<>=!~]", one))
    assert version("av") in SpecifierSet(declared)
    assert "<" in declared, "an untried major version must not be taken"


# ------------------------------------------------------------------------------------ machine paths

# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile("|".join(("/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/\w+/", "/Us" + r"ers/\w+/")))


def machine_paths(name: str, text: str) -> list[str]:
    return [f"{name}: {match.group()}" for match in MACHINE_PATHS.finditer(text)]


def test_no_file_names_a_developers_machine():
    found, read = [], 0
    for path in files_of_repository():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # sounds and weights
        read += 1
        found += machine_paths(path.relative_to(ROOT).as_posix(), text)
    assert read > 10
    assert found == []


@pytest.mark.parametrize("folder", ["/wo" + "rk", "/ro" + "ot", "/ho" + "me/ann", "/Us" + "ers/ann"])
def test_a_machine_path_is_seen(folder):
    assert len(machine_paths("a.md", f"see {folder}/sounds/a.wav")) == 1
    assert machine_paths("a.md", "see runs/demo and network/a") == []


# -------------------------------------------------------------------------------------- workflows


def test_the_workflow_runs_the_tests_of_make_test():
    """On macOS and Windows pytest is called without make, with the same marks."""
    marks = re.compile(r'pytest .*-m "([^"]+)"')
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = re.search(r"^test:.*?\n(.*?)\n\n", makefile, re.M | re.S)[1]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert marks.findall(workflow) == marks.findall(made) != []
