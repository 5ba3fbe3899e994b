"""A user's script runs, and a type checker in its strictest mode reads it and knows the types of what it uses."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import saved_tiny_model, write_sound

import auricle

SCRIPT = Path(__file__).with_name("user_script.py")

# As where the package is installed: errors inside it are not shown. Other libraries are read as usual.
SETTINGS = """
[mypy]
strict = True
[mypy-auricle.*]
follow_imports = silent
"""

# Each line is wrong, by a type that has to be known.
MISTAKES = """
from auricle import AuricleModle
from auricle import AuricleConfig, AuricleModel, AuricleProcessor, SoundIndex, load_encoder

AuricleModel.from_pretrained("model").get_sound_features()
AuricleModel.from_pretrained("model").config.projection_dim.upper()
AuricleProcessor.from_pretrained("model")(audio_kwargs=["rain"])
AuricleProcessor.from_pretrained("model").max_text_tokens.upper()
AuricleConfig.from_pretrained("model").text_pooling.bit_length()
SoundIndex("index").search(["rain"])
SoundIndex("index").search("rain")[0].path.start
SoundIndex("index").moments("a.wav", "rain")[0].percentile + 1
SoundIndex("index").update(["sounds"]).lines()
load_encoder("model").embed_text(["rain"])
load_encoder("model", precision=8)
"""


def test_the_script_does_what_it_says(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("user_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(tmp_path)
    saved_tiny_model(tmp_path / "model")
    sounds = [str(write_sound(tmp_path / "sounds" / f"{n}.wav", 1.0 + n, seed=n)) for n in range(3)]
    found = script.find("sounds.auricle", "model", "sounds", "a dog barks")
    assert sorted(path for path, _ in found) == sounds
    assert (tmp_path / "answers.csv").read_text().count(".wav") == 3
    assert -1 <= script.similarity("model", "a dog barks", sounds[0]) <= 1
    ranked = script.rank("model", "a dog barks", sounds)
    scores = {path: script.similarity("model", "a dog barks", path) for path in sounds}
    assert ranked == sorted(sounds, key=lambda path: -scores[path])


@pytest.mark.slow
@pytest.mark.timeout(600)  # less than a minute of CPU time: all of torch and transformers are read
def test_strict_mypy_passes_and_sees_mistakes(tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    # The folder of the package may have another name than the package.
    (packages / "auricle").symlink_to(Path(auricle.__file__).parent, target_is_directory=True)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    # Where it lies it would be taken for a part of the package.
    shutil.copy(SCRIPT, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", "cache", "--no-pretty", SCRIPT.name, "mistakes.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in errors if not line.startswith("mistakes.py:")] == []
    wrong = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if line and number != 3}
    assert {int(line.split(":")[1]) for line in errors} == wrong, done.stdout
