"""The package builds without warnings, holds every data file, and works where the wheel alone is installed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from test_house import NOT_PACKAGED, ROOT, files_of_repository

import auricle

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]


def run(*command, **options) -> str:
    """stdout and stderr of a command outside the repository, which has to succeed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=environment,
        **options,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def warnings_in(log: str) -> list[str]:
    """Lines in which setuptools or pip warns, and names of packages that it calls absent."""
    return [line for line in log.splitlines() if re.search(r"warning|deprecat|absent from", line, re.I)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(folder with the wheel and the source distribution, log), built from a copy of the repository."""
    folder = tmp_path_factory.mktemp("build")
    source, out = folder / "source", folder / "dist"
    for path in files_of_repository():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    # As `make package` does, but with the installed setuptools: a test downloads nothing.
    log = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=folder)
    return out, log


def test_a_version_has_one_value_everywhere():
    version = PYPROJECT["project"]["version"]
    assert auricle.__version__ == version
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    changes = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert version in changes and "0.1.0" in changes


@pytest.mark.slow
def test_a_build_prints_no_warning(built):
    assert warnings_in(built[1]) == []
    assert warnings_in("SetuptoolsDeprecationWarning\nx\nPackage 'a.b' is absent from the `packages`") != []


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(built):
    (wheel,) = built[0].glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = {name for name in content.namelist() if ".dist-info/" not in name}
    folders = {package.replace(".", "/") for package in PACKAGES}
    expected = set()
    for path in files_of_repository():
        inner = path.relative_to(ROOT)
        at_root = len(inner.parts) == 1
        if inner.parts[0] in NOT_PACKAGED or inner.parts[0].startswith("."):
            continue
        if not at_root or inner.suffix == ".py" or inner.name == "py.typed":
            expected.add(f"auricle/{inner.as_posix()}")
    assert {name.rsplit("/", 1)[0] for name in expected if name.endswith(".py")} == folders
    assert {name for name in expected if name.endswith(".yaml")}
    assert names == expected


@pytest.mark.slow
def test_twine_finds_nothing_wrong(built):
    files = sorted(built[0].iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"]
    log = run(sys.executable, "-m", "twine", "check", "--strict", *files)
    assert log.count("PASSED") == 2, log


@pytest.mark.slow
def test_the_installed_wheel_works_outside_the_repository(built, tmp_path):
    (wheel,) = built[0].glob("*.whl")
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    # Dependencies come from the environment of the tests. It is added after the installation, so that pip cannot
    # see the editable Auricle in it, and by its path alone, so that its own .pth files are not read.
    inside = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (inside / "dependencies.pth").write_text("\n".join(sorted(dependencies)), encoding="utf-8")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import auricle; print(auricle.__file__); print(auricle.__version__)"
    file, version = run(python, "-c", code, cwd=elsewhere).splitlines()
    assert Path(file).resolve().is_relative_to(home.resolve())
    assert version == PYPROJECT["project"]["version"]
    names = (
        "from auricle import AuricleModel, SoundIndex; print(AuricleModel.__module__, SoundIndex.__module__)"
    )
    assert run(python, "-c", names, cwd=elsewhere).split()[-2:] == [
        "auricle.modeling.modeling_auricle",
        "auricle.search.sound_index",
    ]
    assert "Usage: auricle" in run(programs / "auricle", "--help", cwd=elsewhere)
    assert run(programs / "auricle", "--version", cwd=elsewhere).startswith(f"auricle {version}\n")
    assert "--index" in run(programs / "auricle", "search", "--help", cwd=elsewhere)
