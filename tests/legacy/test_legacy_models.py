"""Model directories, adapters and exports of earlier versions: they load, and their vectors are the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from legacy_formats import AUDIO_PROBES, SENTENCES, vectors_of
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.evaluation.model_loading import load_pretrained
from auricle.evaluation.onnx_towers import OnnxAudioTower, OnnxTextTower
from auricle.modeling import AuricleModel
from auricle.processing import AuricleProcessor

MODELS = ("passt", "beats", "eat")
# Unit vectors in float32: sums in another order move them by a few times 1e-7.
# Kaldi's front end takes the logarithm of each band's energy, and above 4 kHz a sound of 8 kHz has none but the
# resampling's rounding errors, so those of BEATs and EAT differ visibly (4e-5 was seen).
ELSEWHERE = {"passt": 2e-6, "beats": 2e-4, "eat": 2e-4}

# Runs in an interpreter that cannot import the package, as its users' may.
STRANGER = '''
import json, sys
from pathlib import Path


class Absent:
    """However the package is installed, here it is not."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
tests, models, out = map(Path, sys.argv[1:])
sys.path.append(str(tests))

import numpy as np
from legacy_formats import vectors_of
from transformers import AutoModel, AutoProcessor

vectors, files = {}, {}
for folder in sorted((models / "models").iterdir()):
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    for kind, rows in vectors_of(model, processor, models / "sounds").items():
        vectors[f"models/{folder.name}/{kind}"] = rows
    for part in (model, processor, processor.feature_extractor):
        files[f"{folder.name} {type(part).__name__}"] = sys.modules[type(part).__module__].__file__
np.savez(out / "vectors.npz", **vectors)
(out / "files.json").write_text(json.dumps(files))
'''


@pytest.fixture(scope="module")
def expected(legacy):
    return dict(np.load(legacy.folder / "vectors.npz"))


def assert_alike(legacy, found, expected, tower="passt"):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=legacy.tolerance(ELSEWHERE[tower]))


@pytest.mark.parametrize("name", MODELS)
def test_installed_classes_load_them(legacy, expected, name):
    root = legacy.unpacked("models")
    model, processor = load_pretrained(root / "models" / name)
    assert type(model) is AuricleModel and type(processor) is AuricleProcessor
    found = vectors_of(model, processor, root / "sounds")
    for kind, rows in found.items():
        assert_alike(legacy, rows, expected[f"models/{name}/{kind}"], name)


def test_the_code_that_they_carry_loads_them(legacy, expected, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(tests), str(legacy.unpacked("models")), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "vectors.npz"))
    assert found.keys() == {f"models/{name}/{kind}" for name in MODELS for kind in ("audio", "text")}
    for name, rows in found.items():
        assert_alike(legacy, rows, expected[name], name.split("/")[1])
    files = json.loads((tmp_path / "files.json").read_text())
    assert len(files) == 3 * len(MODELS)
    assert all((tmp_path / "modules").resolve() in Path(file).resolve().parents for file in files.values())


@pytest.fixture
def adapter(legacy, tmp_path):
    """The adapter, told where the model lies that it was trained on top of."""
    folder = Path(shutil.copytree(legacy.unpacked("models") / "adapter", tmp_path / "adapter"))
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "models/passt"
    settings["base_model_name_or_path"] = str(legacy.unpacked("models") / "models" / "passt")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_adapters_are_merged_into_their_model(legacy, expected, adapter):
    found = vectors_of(*load_pretrained(adapter), legacy.unpacked("models") / "sounds")
    for kind, rows in found.items():
        assert_alike(legacy, rows, expected[f"adapter/{kind}"])


def test_peft_loads_adapters_on_top_of_their_model(legacy, expected, adapter):
    peft = pytest.importorskip("peft")
    base, processor = load_pretrained(legacy.unpacked("models") / "models" / "passt")
    model = peft.PeftModel.from_pretrained(base, str(adapter)).eval()
    found = vectors_of(model.base_model.model, processor, legacy.unpacked("models") / "sounds")
    for kind, rows in found.items():
        # Not merged: the products are others, and so are the last bits.
        np.testing.assert_allclose(rows, expected[f"adapter/{kind}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*(f"models/{name}" for name in MODELS), "adapter"])
def test_the_embed_command_gives_the_same_vectors_and_fingerprint(legacy, expected, adapter, tmp_path, name):
    root = legacy.unpacked("models")
    model, out = adapter if name == "adapter" else root / name, tmp_path / "out.parquet"
    done = CliRunner().invoke(app, ["embed", str(model), str(root / "sounds"), str(out), "--no-progress"])
    assert done.exit_code == 0, done.output
    table = parquet.read_table(out)
    note = json.loads(table.schema.metadata[b"auricle"])
    if name != "adapter" or legacy.tolerance(1.0) == 0.0:
        # Merging computes weights, elsewhere perhaps with other last bits, and the fingerprint is of all bits.
        assert note["fingerprint"] == legacy.recorded("fingerprints")[name]
    rows = dict(
        zip(table["path"].to_pylist(), np.array(table["embedding"].to_pylist(), np.float32), strict=True)
    )
    found = np.stack([rows[probe] for probe in AUDIO_PROBES])
    tower = "passt" if name == "adapter" else name.removeprefix("models/")
    assert_alike(legacy, found, expected[f"{name}/audio"], tower)


def test_an_exported_model_answers_alike(legacy, expected):
    pytest.importorskip("onnxruntime")
    root = legacy.unpacked("models")
    text = OnnxTextTower(root / "onnx")
    assert text.fingerprint == legacy.recorded("fingerprints")["models/passt"]
    assert_alike(legacy, text.embed(SENTENCES), expected["onnx/text"])
    sounds = [str(root / "sounds" / name) for name in AUDIO_PROBES]
    assert_alike(legacy, OnnxAudioTower(root / "onnx").embed(sounds), expected["onnx/audio"])
    for kind in ("text", "audio"):
        assert np.abs(expected[f"onnx/{kind}"] - expected[f"models/passt/{kind}"]).max() < 1e-5
