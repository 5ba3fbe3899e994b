"""Fetches transformers' own common tests for the installed version; `make test-hf` runs it before pytest.

The source distribution of that very version is downloaded by pip and unpacked into a cache outside this
repository. The last line of the output is the folder; any failure ends with status 1 and says why.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NEEDED = (
    "test_modeling_common.py",
    "test_configuration_common.py",
    "test_feature_extraction_common.py",
    "test_sequence_feature_extraction_common.py",
    "test_processing_common.py",
)


def cache_folder(version: str) -> Path:
    """Where the common tests of a version lie; ``AURICLE_CACHE`` or the user's cache holds it."""
    base = os.environ.get("AURICLE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "auricle"
    return Path(base).expanduser() / f"transformers-{version}-tests"


def fetch(version: str) -> Path:
    """
    Downloads and unpacks the tests of one version, unless the cache has them.

    Raises:
        RuntimeError: if pip cannot get the source distribution, or it holds no common tests.
    """
    folder = cache_folder(version)
    if all((folder / name).is_file() for name in NEEDED):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "transformers",
        ]
        done = subprocess.run(
            [*command, f"transformers=={version}", "--dest", work], capture_output=True, text=True
        )
        archives = sorted(Path(work).glob("transformers-*.tar.gz"))
        if done.returncode or not archives:
            reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise RuntimeError(f"the source distribution cannot be had: {reason[0]}")
        unpacked = Path(work) / "tests"
        unpacked.mkdir()
        with tarfile.open(archives[0]) as archive:
            for member in archive.getmembers():
                parts = Path(member.name).parts
                if len(parts) == 3 and parts[1] == "tests" and parts[2].endswith(".py") and member.isfile():
                    (unpacked / parts[2]).write_bytes(archive.extractfile(member).read())
        missing = [name for name in NEEDED if not (unpacked / name).is_file()]
        if missing:
            raise RuntimeError(f"{archives[0].name} holds no tests/{missing[0]}")
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return folder


def main() -> int:
    version = importlib.metadata.version("transformers")
    try:
        print(fetch(version))
    except (RuntimeError, OSError) as error:
        print(f"transformers {version}: its common tests are needed and missing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
