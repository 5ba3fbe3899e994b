"""A saved directory answers where this package does not exist: another process, another folder, no network."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model_and_processor, write_sound

SENTENCES = ["a dog barks", "Rain falls, then a bell rings!", "zebras"]

# Runs in an interpreter that cannot import the package. Saves what it computes for the test to compare.
STRANGER = '''
import importlib, importlib.util, json, sys
from pathlib import Path


class Absent:
    """However the package is installed, here it is not."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
for name in ("auricle", "auricle.modeling"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported: this process shows nothing")
for name in ("modeling", "processing"):
    assert importlib.util.find_spec(name) is None, name

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer

work, clips, sentences = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
torch.full((2**20,), float("nan"))  # garbage for buffers that nobody fills


def open_and_answer(folder, output):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    audio, text = processor(audio=clips), processor(text=sentences)
    assert torch.equal(extractor(clips)["input_features"], audio["input_features"])
    words, limit = processor.prepare_text(sentences), processor.max_text_tokens
    ids = tokenizer(words, padding=True, truncation=True, max_length=limit, return_tensors="pt")
    assert torch.equal(ids["input_ids"], text["input_ids"])
    with torch.no_grad():
        answers = {
            "audio": model.get_audio_features(**audio).pooler_output,
            "text": model.get_text_features(**text).pooler_output,
            "logits": model(**audio, **text).logits_per_audio.contiguous(),
            "input_features": audio["input_features"],
            "input_ids": text["input_ids"],
        }
    state = {f"state/{name}": tensor for name, tensor in model.state_dict().items()}
    buffers = {f"buffer/{name}": tensor for name, tensor in model.named_buffers()}
    tensors = {name: tensor.clone().contiguous() for name, tensor in {**answers, **state, **buffers}.items()}
    save_file(tensors, work / f"{output}.safetensors")
    objects = {"config": config, "model": model, "processor": processor, "extractor": extractor}
    kinds = {
        name: [type(value).__name__, str(Path(sys.modules[type(value).__module__].__file__).resolve())]
        for name, value in objects.items()
    }
    return model, processor, kinds


report = {}
for kind in ("float32", "bfloat16"):
    model, processor, report[kind] = open_and_answer(work / kind, f"{kind}_loaded")
    again = work / f"{kind}_again"
    model.save_pretrained(again)
    processor.save_pretrained(again)
    _, _, report[f"{kind}_again"] = open_and_answer(again, f"{kind}_again")
report["package_modules"] = [name for name in sys.modules if name.split(".")[0] == "auricle"]
(work / "report.json").write_text(json.dumps(report))
'''


@dataclass
class Journey:
    """What the package computed before the checkpoint left, and what the stranger found."""

    work: Path
    report: dict
    expected: dict[str, dict[str, torch.Tensor]]

    def found(self, name: str) -> dict[str, torch.Tensor]:
        return load_file(self.work / f"{name}.safetensors")


def answers_of(model, processor, clips):
    audio, text = processor(audio=clips), processor(text=SENTENCES)
    with torch.no_grad():
        return {
            "audio": model.get_audio_features(**audio).pooler_output,
            "text": model.get_text_features(**text).pooler_output,
            "logits": model(**audio, **text).logits_per_audio,
            "input_features": audio["input_features"],
            "input_ids": text["input_ids"],
            **{f"state/{name}": tensor.clone() for name, tensor in model.state_dict().items()},
            **{f"buffer/{name}": tensor.clone() for name, tensor in model.named_buffers()},
        }


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    home, work = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    clips = [
        str(write_sound(work / "clips" / "short.wav", 0.7, seed=1)),
        str(write_sound(work / "clips" / "stereo.flac", 2.6, rate=44_100, seed=2, channels=2)),
    ]
    model, processor = tiny_model_and_processor(home, text_pooling="mean", learn_temperature=True)
    processor.normalize_captions, processor.max_text_tokens = False, 9
    expected = {}
    for kind, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model = model.to(dtype)
        expected[kind] = answers_of(model, processor, clips)
        model.save_pretrained(home / kind)
        processor.save_pretrained(home / kind)
        shutil.copytree(home / kind, work / kind)
    shutil.rmtree(home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(work / "hf_home"),
        "HF_MODULES_CACHE": str(work / "hf_modules"),
        # The same sums in the same order: bit for bit holds for one number of threads.
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(work), json.dumps(clips), json.dumps(SENTENCES)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return Journey(work, json.loads((work / "report.json").read_text()), expected)


KINDS = ["float32", "bfloat16"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", ["loaded", "again"])
def test_answers_and_weights_are_equal_bit_for_bit(journey, kind, stop):
    found, expected = journey.found(f"{kind}_{stop}"), journey.expected[kind]
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name
    floating = [
        tensor for name, tensor in found.items() if name.startswith("state/") and tensor.is_floating_point()
    ]
    assert {tensor.dtype for tensor in floating} == {getattr(torch, kind)}
    assert found["audio"].shape == (2, 12) and found["text"].shape == (3, 12)
    assert found["input_ids"].shape == (3, 9)


@pytest.mark.parametrize("stop", [*KINDS, *(f"{kind}_again" for kind in KINDS)])
def test_the_code_came_from_the_checkpoint(journey, stop):
    assert journey.report["package_modules"] == []
    names = {
        "config": "AuricleConfig",
        "model": "AuricleModel",
        "processor": "AuricleProcessor",
        "extractor": "AuricleFeatureExtractor",
    }
    assert {name: kind for name, (kind, _) in journey.report[stop].items()} == names
    modules = (journey.work / "hf_modules").resolve()
    for _, file in journey.report[stop].values():
        assert modules in Path(file).parents


@pytest.mark.parametrize("stop", [*KINDS, *(f"{kind}_again" for kind in KINDS)])
def test_the_directory_is_whole(journey, stop):
    folder = journey.work / stop
    config = json.loads((folder / "config.json").read_text())
    processor = json.loads((folder / "processor_config.json").read_text())
    maps = {**config["auto_map"], **processor["auto_map"], **processor["feature_extractor"]["auto_map"]}
    assert maps["AutoConfig"] == "configuration_auricle.AuricleConfig"
    assert maps["AutoModel"] == "modeling_auricle.AuricleModel"
    assert maps["AutoProcessor"] == "processing_auricle.AuricleProcessor"
    assert maps["AutoFeatureExtractor"] == "feature_extraction_auricle.AuricleFeatureExtractor"
    assert all((folder / f"{target.split('.')[0]}.py").is_file() for target in maps.values())
    assert config["dtype"] == stop.removesuffix("_again")
    assert not [path for path in folder.rglob("*") if path.is_dir()]
    assert processor["feature_extractor"]["sampling_rate"] == config["audio_config"]["sampling_rate"]
    assert processor["feature_extractor"]["feature_size"] == config["audio_config"]["num_mel_bins"]


def test_travelling_again_carries_the_same_files(journey):
    for kind in KINDS:
        first, again = (
            {path.name for path in (journey.work / name).iterdir()} for name in (kind, f"{kind}_again")
        )
        assert first == again
        for path in (journey.work / kind).glob("*.py"):
            assert path.read_text() == (journey.work / f"{kind}_again" / path.name).read_text()
