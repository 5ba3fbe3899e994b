"""`datasets.map` with our processor is cached: within a process, and from one process to the next."""

import copy
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound

# Run by themselves, as by someone who has the checkpoint and not this package.
MAP = """
import sys
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import AutoProcessor
import json, pickle
from pathlib import Path

model, work = sys.argv[1:]
processor = AutoProcessor.from_pretrained(model, trust_remote_code=True)
assert type(processor).__module__.startswith("transformers_modules."), type(processor)
ran = Path(work, "ran.txt")

def prepare(batch):
    with open(ran, "a") as file:
        file.write("x")
    inputs = processor(audio=batch["audio"], text=batch["text"], sampling_rate=16000)
    return {"ids": inputs["input_ids"], "features": inputs["input_features"]}

def table():
    path = Path(work, "table")
    return Dataset.load_from_disk(str(path))

functions = {
    "extractor": processor.feature_extractor,
    "processor": processor,
    "function": prepare,
    "method": processor.feature_extractor.load,
    "lambda": lambda batch: processor.feature_extractor(batch["audio"], sampling_rate=16000),
}
before = {name: Hasher.hash(value) for name, value in functions.items()}
first, second = table().map(prepare, batched=True), table().map(prepare, batched=True)
after = {name: Hasher.hash(value) for name, value in functions.items()}
again = pickle.loads(pickle.dumps(processor))
same = again(text="rain")["input_ids"].tolist() == processor(text="rain")["input_ids"].tolist()
print(json.dumps({"before": before, "after": after, "ran": len(ran.read_text()), "fingerprint": second._fingerprint,
                  "pickled": same and type(again) is type(processor)}))
"""


@pytest.mark.slow
def test_a_map_runs_once_for_all_processes(tmp_path):
    from datasets import Dataset

    saved_tiny_model(tmp_path / "model")
    rows = {"audio": [sound(1.0, seed=n).tolist() for n in range(3)], "text": ["rain", "a dog", "a bell"]}
    Dataset.from_dict(rows).save_to_disk(tmp_path / "table")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
    }
    reports = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", MAP, str(tmp_path / "model"), str(tmp_path)],
            env=environment | {"PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        reports.append(json.loads(done.stdout.splitlines()[-1]))
    assert reports[0] == reports[1]
    assert reports[0]["before"] == reports[0]["after"]
    assert len(set(reports[0]["before"].values())) == len(reports[0]["before"])
    assert reports[0]["ran"] == 1, "the second map and the second process read the cache"
    assert reports[0]["pickled"]


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    """A processor whose classes come from the checkpoint's code."""
    from transformers import AutoTokenizer
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    folder = tmp_path_factory.mktemp("travelled") / "model"
    saved_tiny_model(folder)
    kind, extractor = (
        get_class_from_dynamic_module(f"{name}", str(folder))
        for name in (
            "processing_auricle.AuricleProcessor",
            "feature_extraction_auricle.AuricleFeatureExtractor",
        )
    )
    return kind(extractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))


def test_hashing_ends_and_follows_the_settings(travelled):
    from datasets.fingerprint import Hasher

    assert type(travelled).__module__.startswith("transformers_modules.")
    processor = copy.deepcopy(travelled)
    values = [
        processor,
        processor.feature_extractor,
        processor.feature_extractor.load,
        lambda b: processor(text=b),
    ]
    hashes = [Hasher.hash(value) for value in values]
    processor(text="a dog barks", audio=sound(1.0), sampling_rate=SAMPLING_RATE)
    assert [Hasher.hash(value) for value in values] == hashes
    processor.feature_extractor.min_tail_seconds = 0.3
    changed = [Hasher.hash(value) for value in values]
    assert all(a != b for a, b in zip(hashes, changed, strict=True))
    processor.max_text_tokens = 9
    assert Hasher.hash(values[0]) not in (hashes[0], changed[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_is_of_the_same_class_and_answers_alike(travelled, copied):
    again = copied(travelled)
    assert type(again) is type(travelled) and again is not travelled
    assert again.feature_extractor is not travelled.feature_extractor
    assert again.to_dict() == travelled.to_dict()
    given = {"text": ["rain", "a dog"], "audio": sound(1.2), "sampling_rate": SAMPLING_RATE}
    expected, got = travelled(**given), again(**given)
    assert all(torch.equal(got[name], value) for name, value in expected.items())
