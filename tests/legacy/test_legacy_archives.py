"""The archives themselves: all there, small, and without a trace of the machine that made them."""

import re
import tarfile

from legacy_formats import FORMATS

ARCHIVES = ("banks", "index", "models", "run")
RECORDS = ("fingerprints.json", "index_answers.json", "made_with.json", "run.json", "vectors.npz")
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(
    b"|".join((b"/wo" + rb"rk/\w", b"/ro" + rb"ot/\w", b"/ho" + rb"me/\w+/", b"/Us" + rb"ers/\w+/"))
)


def test_every_version_has_all_of_them():
    assert FORMATS
    for folder in FORMATS:
        names = {path.name for path in folder.iterdir()}
        assert {*(f"{name}.tar.xz" for name in ARCHIVES), *RECORDS, "README.md"} <= names
        assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) < 5e6


def test_no_file_in_them_names_a_machine_or_a_user():
    members, found = 0, []
    for path in (path for folder in FORMATS for path in folder.glob("*.tar.xz")):
        with tarfile.open(path) as file:
            for entry in file:
                owner = (entry.uid, entry.gid, entry.uname, entry.gname)
                assert owner == (0, 0, "", ""), f"{path.name}: {entry.name}: {owner}"
                if entry.isfile():
                    members += 1
                    content = file.extractfile(entry).read()
                    found += [
                        f"{path.name}: {entry.name}: {hit.group()}" for hit in MACHINE_PATHS.finditer(content)
                    ]
    assert members > 300
    assert found == []


def test_a_machine_path_is_seen():
    assert MACHINE_PATHS.search(b"\0\x01/ro" + b"ot/a.wav\0") and MACHINE_PATHS.search(b"/ho" + b"me/ann/x")
    assert not MACHINE_PATHS.search(b"/tmp/auricle-fixture/library/network/a.wav")
