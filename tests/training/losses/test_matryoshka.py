"""Prefixes of embeddings in the loss, and in the saved config."""

import json

import pytest
import torch
from tiny_models import tiny_config, tiny_model

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.training.losses.matryoshka import prefixes


def test_prefixes_have_unit_length_and_the_whole_comes_last():
    audio, text = torch.nn.functional.normalize(torch.randn(2, 5, 12), dim=-1)
    (short, short_text), (longer, _), (whole, whole_text) = prefixes((audio, text), [3, 8])
    assert short.shape == (5, 3) and longer.shape == (5, 8)
    assert torch.allclose(short, audio[:, :3] / audio[:, :3].norm(dim=-1, keepdim=True))
    assert torch.allclose(short_text.norm(dim=-1), torch.ones(5))
    assert whole is audio and whole_text is text


def test_the_whole_width_is_not_counted_twice():
    embeddings = (torch.ones(2, 4),)
    assert len(prefixes(embeddings, [2, 4])) == 2 and len(prefixes(embeddings, [])) == 1


@pytest.mark.parametrize("dims", [[8, 3], [3, 3], [0, 3], [3, 13]])
def test_impossible_prefixes_are_refused(dims):
    with pytest.raises(ValueError, match="ascending integers from 1 to projection_dim=12"):
        tiny_config(matryoshka_dims=dims)


def test_the_config_keeps_them_and_does_without(tmp_path):
    tiny_model(matryoshka_dims=[3, 12]).save_pretrained(tmp_path / "cut")
    assert AuricleModel.from_pretrained(tmp_path / "cut").config.matryoshka_dims == [3, 12]
    file = tmp_path / "cut" / "config.json"
    fields = json.loads(file.read_text())
    del fields["matryoshka_dims"]
    file.write_text(json.dumps(fields))
    assert AuricleConfig.from_pretrained(tmp_path / "cut").matryoshka_dims is None
    assert AuricleModel.from_pretrained(tmp_path / "cut").config.matryoshka_dims is None
