"""The versions that pyproject.toml promises: the lowest and the newest of each work, and the page says the same."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from overlays import (  # noqa: E402
    PACKAGES,
    OverlayError,
    declared_ranges,
    ends_of_range,
    lower_bound,
    make_overlay,
    overlay_environment,
    published_versions,
)


def cache_folder() -> Path:
    base = os.environ.get("AURICLE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "auricle"
    return Path(base).expanduser() / "versions"


def test_every_package_has_a_lower_bound_and_the_installed_version_is_in_range():
    ranges = declared_ranges()
    assert tuple(ranges) == PACKAGES
    for name, requirement in ranges.items():
        assert lower_bound(requirement) > Version("0")
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert requirement.specifier.contains(installed), (name, installed)


def test_the_page_states_the_declared_ranges():
    page = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    for name, requirement in declared_ranges().items():
        assert f"| {name} | `{requirement.specifier}` |" in page


@pytest.mark.parametrize(
    ("text", "published", "ends"),
    [
        ("a>=5.23,<6", ["5.22.2", "5.23.0", "5.24.0", "6.0.0"], ("5.23.0", "5.24.0")),
        ("a>=4.0", ["3.6.0", "4.0.0", "5.2.0", "6.0.0rc1"], ("4.0.0", "5.2.0")),
        ("a>=1.1", ["1.0", "1.1.1", "1.10.0", "1.9.0"], ("1.1.1", "1.10.0")),
    ],
)
def test_ends_of_a_range(text, published, ends):
    found = ends_of_range(Requirement(text), map(Version, published))
    assert tuple(map(str, found)) == ends


def test_a_range_without_a_version_is_named():
    with pytest.raises(OverlayError, match="a>=9: no published version"):
        ends_of_range(Requirement("a>=9"), [Version("8")])


@pytest.mark.versions
@pytest.mark.timeout(900)
@pytest.mark.parametrize("end", ["lowest", "newest"])
def test_the_ends_of_all_ranges_work_together(end, tmp_path):
    ranges = declared_ranges()
    wanted = {
        name: ends_of_range(requirement, published_versions(name))[0 if end == "lowest" else 1]
        for name, requirement in ranges.items()
    }
    if end == "lowest":
        series = {name: (version, lower_bound(ranges[name])) for name, version in wanted.items()}
        # A bound that no release ever had would promise what nobody has tried.
        assert all(version.release[:2] == bound.release[:2] for version, bound in series.values()), series
    name = "-".join(f"{package}{version}" for package, version in wanted.items())
    overlay = make_overlay(
        cache_folder() / f"py{sys.version_info.major}{sys.version_info.minor}-{name}", wanted
    )
    versions = json.dumps({package: str(version) for package, version in wanted.items()})
    print(f"{end}: {versions}, and in {overlay}: {sorted(path.name for path in overlay.glob('*.dist-info'))}")
    done = subprocess.run(
        [sys.executable, str(HERE / "smoke.py"), str(tmp_path), versions],
        env={**overlay_environment(overlay), "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "hf")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{versions}\n{done.stdout[-2000:]}\n{done.stderr[-5000:]}"
    assert done.stdout.strip().endswith("all of it works")
