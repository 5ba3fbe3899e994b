"""
Other versions of a few packages, laid over the installed ones.

A whole environment a version would be gigabytes of torch. Instead pip installs the wanted versions, without their
dependencies, into a directory that stands first on ``PYTHONPATH``; dependencies that the installed versions do not
satisfy are added in the same way, torch and its kin excepted.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PACKAGES = ("transformers", "datasets", "sentence-transformers", "peft")
NEVER = {"torch", "torchvision", "torchaudio", "triton", "numpy"}


class OverlayError(RuntimeError):
    """The registry has no such version, or what it needs cannot be satisfied; the message says which."""


def declared_ranges() -> dict[str, Requirement]:
    """What pyproject.toml says of each of [`PACKAGES`], in its dependencies or in an extra."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = {}
    for text in (entry for entries in lists for entry in entries):
        requirement = Requirement(text)
        if requirement.name in PACKAGES:
            found.setdefault(requirement.name, requirement)
    return {name: found[name] for name in PACKAGES}


def lower_bound(requirement: Requirement) -> Version:
    """The version behind ``>=``."""
    return next(Version(part.version) for part in requirement.specifier if part.operator == ">=")


def published_versions(package: str) -> list[Version]:
    """All releases that pip finds for this Python, the lowest first.

    Raises:
        OverlayError: if pip finds none.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return sorted(map(Version, json.loads(done.stdout)["versions"]))
    except (ValueError, KeyError) as error:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise OverlayError(f"{package}: pip finds no versions ({reason})") from error


def ends_of_range(requirement: Requirement, published: Iterable[Version]) -> tuple[Version, Version]:
    """
    The lowest and the newest published version in a range.

    Raises:
        OverlayError: if none is in it, or the lowest is not of the series that the range begins with.
    """
    inside = [
        version
        for version in published
        if not version.is_prerelease and requirement.specifier.contains(version)
    ]
    if not inside:
        raise OverlayError(f"{requirement}: no published version is in this range")
    return min(inside), max(inside)


def make_overlay(folder: Path, wanted: dict[str, Version]) -> Path:
    """
    Installs versions, and what they need beyond what is installed, into a folder; one made before is kept.

    Raises:
        OverlayError: if pip cannot install one of them, or two need different versions of a third.
    """
    if (folder / ".complete").is_file():
        return folder
    pinned = {canonicalize_name(name): f"{name}=={version}" for name, version in wanted.items()}
    for _ in range(8):
        missing = {name: text for name, text in pinned.items() if not _holds(folder, name, text)}
        if missing:
            _install(folder, list(missing.values()))
        added = {name: text for name, text in _unsatisfied(folder, pinned) if name not in pinned}
        if not added:
            break
        pinned |= added
    left = [text for _, text in _unsatisfied(folder, pinned)]
    if left:
        raise OverlayError(
            f"{', '.join(sorted(pinned.values()))}: cannot be had together; unsatisfied: {left}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".complete").touch()
    return folder


def overlay_environment(folder: Path) -> dict[str, str]:
    """Environment variables for a process that sees the overlay first."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def _install(folder: Path, requirements: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    done = subprocess.run([*command, "--target", str(folder), *requirements], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise OverlayError(f"{' '.join(requirements)}: pip cannot install it ({reason})")


def _distributions(folder: Path) -> dict[str, importlib.metadata.Distribution]:
    """What a process with the overlay sees, by canonical name."""
    seen: dict[str, importlib.metadata.Distribution] = {}
    for path in ([str(folder)], None):
        found = importlib.metadata.distributions(**({} if path is None else {"path": path}))
        for one in found:
            seen.setdefault(canonicalize_name(one.metadata["Name"]), one)
    return seen


def _holds(folder: Path, name: str, text: str) -> bool:
    found = _distributions(folder).get(name)
    requirement = Requirement(text)
    return found is not None and requirement.specifier.contains(found.version, prereleases=True)


def _unsatisfied(folder: Path, pinned: dict[str, str]) -> list[tuple[str, str]]:
    """(name, requirement) of what the pinned packages need and a process with the overlay would not see."""
    seen, found = _distributions(folder), []
    for name in pinned:
        for text in seen[name].requires or [] if name in seen else []:
            requirement = Requirement(text)
            needed = canonicalize_name(requirement.name)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if not applies or needed in NEVER:
                continue
            have = seen.get(needed)
            if have is None or not requirement.specifier.contains(have.version, prereleases=True):
                found.append((needed, f"{requirement.name}{requirement.specifier}"))
    return found
