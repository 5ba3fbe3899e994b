"""A converted or otherwise saved model directory on the Hub, with a card that claims nothing that is not so."""

import json
import os

import pytest
import torch
from hub_server import TOKEN, hub_server
from huggingface_hub import ModelCard
from miniature_retrieval import miniature, published_weights, settings_of, tokenizer_dir, write_lightning
from publishing_client import REPO, Client, files_of, load_as_stranger, own_embeddings
from safetensors.torch import load_file, save_file
from tiny_models import saved_tiny_model, write_sound

from auricle.conversion import convert_retrieval
from auricle.conversion.convert import sha256_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with hub_server() as server:
        client = Client(server, tmp_path_factory.mktemp("home"))
        yield client
        client.process.kill()
        client.process.wait()


@pytest.fixture
def converted(tmp_path):
    path = write_lightning(
        tmp_path / "salsa.ckpt", published_weights(miniature(), "salsa"), settings_of("salsa")
    )
    convert_retrieval(path, tmp_path / "converted", tokenizer=tokenizer_dir(tmp_path / "words"))
    return tmp_path / "converted"


def change(model_dir, value):
    path = model_dir / "model.safetensors"
    weights = load_file(path)
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    first = next(name for name, tensor in weights.items() if tensor.is_floating_point() and tensor.dim() > 1)
    weights[first][0, 0] = value
    os.remove(path)
    save_file(weights, path, metadata={"format": "pt"})


def test_a_converted_model_says_whose_it_is_and_loads_elsewhere(client, converted, tmp_path):
    server, repo = client.server, "someone/converted"
    done = client.push(converted, repo=repo)
    assert "the license of the weights is not known" in done.stderr
    files = files_of(server, repo)
    text = files["README.md"].decode()
    card = ModelCard(text)
    assert card.data.license == "other" and "auricle" in card.data.tags
    for part in (
        "converted from a checkpoint of salsa",
        "Nothing was trained",
        "`salsa.ckpt`",
        sha256_of(tmp_path / "salsa.ckpt"),
        sha256_of(converted / "model.safetensors"),
        "neither trained nor evaluated",
    ):
        assert part in " ".join(text.split()), part
    assert json.loads(files["conversion.json"])["publisher"] == "salsa"
    for name, content in files.items():
        assert str(tmp_path).encode() not in content and TOKEN.encode() not in content, name
    client.push(converted, "--license", "mit", "--overwrite", repo=repo)
    assert ModelCard(files_of(server, repo)["README.md"].decode()).data.license == "mit"
    write_sound(tmp_path / "sound.wav", 1.0)
    client.push(converted)
    found = load_as_stranger(server, tmp_path, tmp_path / "sound.wav")
    assert found == own_embeddings(converted, tmp_path / "sound.wav")


def test_weights_that_were_changed_are_not_called_the_publishers(client, converted):
    change(converted, 0.5)
    done = client.push(converted, "--dry-run", token=None)
    assert "the weights were changed after the conversion" in done.stderr
    assert "Nothing was trained" not in done.stdout and "changed after that" in done.stdout
    change(converted, float("nan"))
    refused = client.push(converted, code=2, repo="someone/broken").stderr
    assert "contain NaN or infinity" in refused and "Nothing was published" in refused
    assert ("models", "someone/broken") not in client.server.repos
    (converted / "conversion.json").write_text('{"source": 3}')
    assert "conversion.json: 'source_sha256' is missing or damaged" in client.push(converted, code=2).stderr


def test_a_saved_model_whose_origin_is_not_recorded(client, tmp_path):
    saved_tiny_model(tmp_path / "model")
    done = client.push(tmp_path / "model", repo="someone/saved")
    text = files_of(client.server, "someone/saved")["README.md"].decode()
    assert "not recorded" in text and "license: other" in text and "--license" in done.stderr
    assert "converted" not in text
    assert "is a model directory" in client.push(tmp_path / "model", "--stage", "first", code=2).stderr
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "model_type": "clap"}))
    assert "model_type 'clap'" in client.push(tmp_path / "model", code=2).stderr
    (tmp_path / "nothing").mkdir()
    assert "neither run.json nor config.json found" in client.push(tmp_path / "nothing", code=2).stderr
    # Of a stage's model the run tells how it was trained.
    saved_tiny_model(tmp_path / "run" / "first" / "model")
    (tmp_path / "run" / "first" / "stage.json").write_text("{}")
    assert "--stage first" in client.push(tmp_path / "run" / "first" / "model", code=2).stderr


@pytest.mark.parametrize("tower", ["passt", "beats"])
def test_an_encoder_has_its_publishers_license(tower, tmp_path):
    from auricle.hub.saved_model import collect_saved_model
    from auricle.modeling import AUDIO_MODELS
    from auricle.processing import AuricleFeatureExtractor

    model_type = f"auricle_{tower}"
    config = AUDIO_MODELS[model_type].config_class(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    with torch.random.fork_rng(devices=[]):
        AUDIO_MODELS[model_type](config).save_pretrained(tmp_path)
    AuricleFeatureExtractor.for_tower(tower).save_pretrained(tmp_path)
    record = {
        "tower": tower,
        "source": f"{tower}.pt",
        "source_sha256": "0" * 64,
        "weights_sha256": sha256_of(tmp_path / "model.safetensors"),
        "dropped": {},
        "notes": [],
    }
    (tmp_path / "conversion.json").write_text(json.dumps(record))
    publication = collect_saved_model(tmp_path, REPO)
    card = publication.files["README.md"].decode()
    assert not publication.warnings
    assert f"license: {'apache-2.0' if tower == 'passt' else 'mit'}" in card
    assert "AutoFeatureExtractor" in card and "modules.json" not in publication.files
    assert any(name.endswith("processor_config.json") for name in publication.files)
