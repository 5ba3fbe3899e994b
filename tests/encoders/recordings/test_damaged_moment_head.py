"""A moment head whose config or weights are damaged is refused in one line, and never answers with random weights."""

import json

import pytest
from safetensors.torch import load_file, save_file
from tiny_models import saved_tiny_model
from tiny_moments import HEAD

from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.recordings.moment_head import MomentHead
from auricle.modeling.configuration_moment import AuricleMomentConfig
from auricle.modeling.modeling_moment import AuricleForMomentRetrieval


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "model"
    saved_tiny_model(folder)
    return load_encoder(folder)


@pytest.fixture
def head(tmp_path, encoder):
    config = AuricleMomentConfig(
        frame_dim=encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint, **HEAD
    )
    AuricleForMomentRetrieval(config).save_pretrained(tmp_path / "head")
    MomentHead.load(tmp_path / "head", encoder)
    return tmp_path / "head"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda config: [config], "not a moment head"),
        (lambda config: {**config, "frame_dim": "twelve"}, "cannot be loaded as a moment head: .*frame_dim"),
        (lambda config: {**config, "encoder_fingerprint": None}, "cannot be loaded .*encoder_fingerprint"),
        (lambda config: {**config, "later": 1, "voteiou": 0.7}, "does not know: later, voteiou. Correct"),
        (lambda config: {**config, "decoder": "queries"}, "the weights' file lacks [0-9]+ tensors"),
    ],
)
def test_a_damaged_config_is_refused(head, encoder, damage, message):
    path = head / "config.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(EncoderError, match=message):
        MomentHead.load(head, encoder)


def test_damaged_weights_are_refused(head, encoder):
    path = head / "model.safetensors"
    weights = load_file(path)
    whole = path.read_bytes()
    first = sorted(weights)[0]
    for changed, message in (
        ({key: value for key, value in weights.items() if key != first}, "lacks 1 tensors, first"),
        ({**weights, "more": weights[first].clone()}, "against its config, 1 tensors, first 'more'"),
        ({**weights, first: weights[first] * float("nan")}, f"weight '{first}' holds NaN"),
    ):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(EncoderError, match=message):
            MomentHead.load(head, encoder)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderError, match="cannot be loaded as a moment head"):
        MomentHead.load(head, encoder)
