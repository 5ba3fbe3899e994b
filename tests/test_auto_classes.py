"""Once one of our classes is imported, transformers' Auto classes use the installed code for our directories."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import saved_tiny_model, tiny_front_end, tiny_model, write_sound

from auricle.processing import AuricleFeatureExtractor

SENTENCES = ["a dog barks", "Rain falls, then a bell rings!"]
FIRST_IMPORTS = {
    "nothing": "",
    "the modeling room": "import auricle.modeling",
    "a module of the modeling room": "from auricle.modeling.configuration_passt import PasstConfig",
    "the processor": "from auricle.processing import AuricleProcessor",
    "the feature extractor": "from auricle.processing import AuricleFeatureExtractor",
    "the configuration, at the front door": "from auricle import AuricleConfig",
    "the processor, at the front door": "from auricle import AuricleProcessor",
}
TRUST = {"unsaid": {}, "given": {"trust_remote_code": True}, "refused": {"trust_remote_code": False}}
IN_EVERY_WAY = ("nothing", "the modeling room", "the processor")
CASES = [
    (first, trust) for first in FIRST_IMPORTS for trust in (TRUST if first in IN_EVERY_WAY else ("unsaid",))
]

# Loads the libraries once, then answers each case in a process of its own, in which nothing of ours was imported.
PARENT = """
import json, os, sys, traceback
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer
from transformers import BertModel, BertTokenizerFast
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import ProcessorMixin

work, sounds, sentences, cases = Path(sys.argv[1]), *map(json.loads, sys.argv[2:5])


def answer(case):
    exec(case["first_import"], {})
    model_dir, tower_dir, options = work / "model", work / "tower", case["options"]
    autos = (AutoConfig, AutoModel, AutoProcessor, AutoFeatureExtractor)
    loaded = {auto.__name__: auto.from_pretrained(model_dir, **options) for auto in autos}
    loaded["inner feature extractor"] = loaded["AutoProcessor"].feature_extractor
    loaded["from_config"] = AutoModel.from_config(loaded["AutoConfig"], **options)
    if case["first_import"]:
        from auricle.processing import AuricleProcessor

        loaded["own from_pretrained"] = AuricleProcessor.from_pretrained(model_dir, **options)
        loaded["its feature extractor"] = loaded["own from_pretrained"].feature_extractor
    for auto in (AutoConfig, AutoModel, AutoFeatureExtractor):
        loaded[f"tower {auto.__name__}"] = auto.from_pretrained(tower_dir, **options)
    AutoTokenizer.from_pretrained(model_dir, **options)
    model, processor = loaded["AutoModel"].eval(), loaded["AutoProcessor"]
    with torch.no_grad():
        vectors = {
            "audio": model.get_audio_features(**processor(audio=sounds)).pooler_output,
            "text": model.get_text_features(**processor(text=sentences)).pooler_output,
        }
    save_file({name: vector.contiguous() for name, vector in vectors.items()}, work / case["vectors"])
    return {name: type(value).__module__ for name, value in loaded.items()}


for case in cases:
    child = os.fork()
    if not child:
        try:
            found = {"modules": answer(case), "remote": "transformers_modules" in sys.modules}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        (work / case["report"]).write_text(json.dumps(found))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A saved dual encoder and a saved tower, sounds, and the vectors of the encoder that was saved."""
    folder = tmp_path_factory.mktemp("auto")
    model, processor = saved_tiny_model(folder / "model", text_pooling="mean")
    tiny_model().audio_model.save_pretrained(folder / "tower")
    AuricleFeatureExtractor(**tiny_front_end()).save_pretrained(folder / "tower")
    sounds = [str(write_sound(folder / f"{n}.wav", 0.7 + n, seed=n)) for n in range(2)]
    with torch.no_grad():
        expected = {
            "audio": model.get_audio_features(**processor(audio=sounds)).pooler_output,
            "text": model.get_text_features(**processor(text=SENTENCES)).pooler_output,
        }
    return folder, sounds, expected


@pytest.fixture(scope="module")
def answers(home):
    """``{(first import, trust): what was found}``."""
    folder, sounds, _ = home
    cases = {
        (first, trust): {
            "first_import": FIRST_IMPORTS[first],
            "options": TRUST[trust],
            "vectors": f"{first}_{trust}.safetensors",
            "report": f"{first}_{trust}.json",
        }
        for first, trust in CASES
    }
    arguments = [str(folder), json.dumps(sounds), json.dumps(SENTENCES), json.dumps(list(cases.values()))]
    root = str(Path(sys.modules["auricle"].__file__).parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(folder / "hf_modules"),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    # No one is there to answer a prompt.
    done = subprocess.run(
        [sys.executable, "-c", PARENT, *arguments],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return {key: json.loads((folder / case["report"]).read_text()) for key, case in cases.items()}


@pytest.mark.parametrize(("first", "trust"), [case for case in CASES if case[0] != "nothing"])
def test_the_installed_classes_are_used(home, answers, first, trust):
    folder, _, expected = home
    found = answers[first, trust]
    assert "error" not in found, found["trace"]
    assert found["modules"] == {
        "AutoConfig": "auricle.modeling.configuration_auricle",
        "AutoModel": "auricle.modeling.modeling_auricle",
        "AutoProcessor": "auricle.processing.processing_auricle",
        "AutoFeatureExtractor": "auricle.processing.feature_extraction_auricle",
        "inner feature extractor": "auricle.processing.feature_extraction_auricle",
        "from_config": "auricle.modeling.modeling_auricle",
        "own from_pretrained": "auricle.processing.processing_auricle",
        "its feature extractor": "auricle.processing.feature_extraction_auricle",
        "tower AutoConfig": "auricle.modeling.configuration_passt",
        "tower AutoModel": "auricle.modeling.modeling_passt",
        "tower AutoFeatureExtractor": "auricle.processing.feature_extraction_auricle",
    }
    assert not found["remote"]
    vectors = load_file(folder / f"{first}_{trust}.safetensors")
    assert all(torch.equal(vectors[name], vector) for name, vector in expected.items())


def test_without_an_import_of_ours_the_code_of_the_directory_is_used(home, answers):
    """The control: these directories carry code, which is refused, asked about, or run."""
    folder, _, expected = home
    for trust in ("unsaid", "refused"):
        assert "contains custom code which must be executed" in answers["nothing", trust]["error"]
    found = answers["nothing", "given"]
    assert all(module.startswith("transformers_modules.") for module in found["modules"].values())
    vectors = load_file(folder / "nothing_given.safetensors")
    assert all(torch.equal(vectors[name], vector) for name, vector in expected.items())
