"""axe-core, which finds faults of accessibility: fetched from the npm registry once, by the npm that is configured."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest

VERSION = "4.14.1"
SCRIPT = "package/axe.min.js"
RUN = """
const done = arguments[0];
axe.run(document).then(({ violations, passes }) => done([passes.length, violations.map(({ id, impact, nodes }) =>
  [impact, id, nodes.map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary.slice(0, 200))])]));
"""


@cache
def axe_script() -> str:
    """Its text, from a cache of the user; skips the test if it cannot be fetched."""
    cached = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "auricle-tests"
        / f"axe-{VERSION}.js"
    )
    if not cached.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, to fetch axe-core")
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["npm failed"]
                pytest.skip(f"axe-core cannot be fetched: {lines[0]}")
            with tarfile.open(Path(folder) / f"axe-core-{VERSION}.tgz") as archive:
                script = archive.extractfile(SCRIPT).read()
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}")
        partial.write_bytes(script)
        partial.replace(cached)
    return cached.read_text(encoding="utf-8")


def serious_faults(driver) -> list[str]:
    """What axe-core calls serious or critical on the page as it is now, one line a rule."""
    driver.set_script_timeout(120)
    driver.execute_script(axe_script())
    passed, faults = driver.execute_async_script(RUN)
    assert passed > 10, "axe-core looked at next to nothing"
    return [
        f"{impact}: {rule}: {'; '.join(nodes[:5])}"
        for impact, rule, nodes in faults
        if impact in ("serious", "critical")
    ]
