"""Every way to make an index against every way to ask it: the same answers, or a refusal that names both."""

import functools
import json
import logging
import shutil

import numpy as np
import pytest
import torch

from auricle.encoders import load_encoder
from auricle.encoders.engines.engine_names import LARGEST_DIFFERENCE, lack_of_engine
from auricle.encoders.engines.one_at_a_time import compute_one_at_a_time
from auricle.encoders.settings.precision import lack_of, of_int8
from auricle.modeling.int8 import Int8Linear, Int8RowLinear, quantize_linear_layers
from auricle.search.encoder_settings import EncoderSettings
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
QUESTION = "a dog barks while rain falls"
# By way: settings of an index, and which model: the saved one, or one of its exports.
WAYS = {
    "torch": ({"engine": "torch", "precision": "float32"}, "model"),
    "packed": ({"engine": "packed"}, "model"),
    "onnx": ({"engine": "onnx"}, "model"),
    "bf16": ({"precision": "bf16"}, "model"),
    "float16": ({"precision": "float16"}, "model"),
    "int8": ({"precision": "int8"}, "model"),
    "export": ({"engine": "onnx"}, "export"),
    "export int8": ({}, "export int8"),
}
# Ways of one class give the same vectors to 1e-5.
CLASSES = {
    **dict.fromkeys(("torch", "packed", "onnx", "export"), "float32"),
    "bf16": "bfloat16",
    "float16": "float16",
    "int8": "int8",
    "export int8": "int8 of ONNX Runtime",
}


def lack(way):
    """Why this machine cannot go this way."""
    settings, where = WAYS[way]
    precision = EncoderSettings(**settings).precision
    needs_onnx = where != "model" or settings.get("engine") == "onnx"
    engine = "onnx" if needs_onnx else settings.get("engine", "torch")
    return lack_of_engine(engine, device="cpu") or lack_of(precision or "float32", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, its exports and an index made each way, each made when first wanted."""
    from encoder_cases import save_auricle
    from sound_libraries import library

    root = tmp_path_factory.mktemp("ways")
    save_auricle(root / "model")
    sounds = library(root / "sounds", 5)

    @functools.cache
    def model(where):
        if where != "model":
            from auricle.hub.onnx_export import export_onnx

            export_onnx(root / "model", root / where, int8="int8" in where)
        return str(root / where)

    @functools.cache
    def index(way):
        settings, where = WAYS[way]
        made = SoundIndex.create(root / f"{way} index", model(where), settings=EncoderSettings(**settings))
        made.update([sounds], progress=False)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(root / "cache"))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield index, model, sounds


def ranked(index):
    hits = index.search(QUESTION, top=5)
    return [hit.path for hit in hits], np.array([hit.score for hit in hits])


# Exports cost seconds each.
FAST = ("torch", "packed", "bf16", "float16", "int8")
ROWS = [
    pytest.param(way, asked, marks=[] if way in FAST and asked in FAST else pytest.mark.slow)
    for way in WAYS
    for asked in WAYS
]


@pytest.mark.parametrize(("way", "asked"), ROWS)
def test_an_index_made_one_way_and_asked_another_is_right_or_refused(made, way, asked):
    index, model, sounds = made
    settings, where = WAYS[asked]
    if way in ("bf16", "float16") and lack(way):
        with pytest.raises(SearchError, match=r"bf16 needs a processor|float16 is for GPUs"):
            index(way)
        return
    if lack(way) or ("precision" not in settings and lack(asked)):
        pytest.skip(lack(way) or lack(asked))
    first = index(way)
    continued = functools.partial(
        SoundIndex.create, first.directory, model(where), settings=EncoderSettings(**settings)
    )
    if CLASSES[way] != CLASSES[asked]:
        with pytest.raises(
            SearchError,
            match=r"was made with precision|computes in float32 only|have onnx|was exported in|another fingerprint",
        ):
            continued()
            # An export has its model's fingerprint; here the precisions differ as well.
            ranked(SoundIndex(first.directory, model=model(where)))
        return
    paths, scores = ranked(first)
    other = continued()
    assert ranked(other)[0] == paths
    assert np.abs(ranked(other)[1] - scores).max() <= 2 * LARGEST_DIFFERENCE
    assert not other.update([sounds], progress=False).changes


@pytest.mark.parametrize("way", ["torch", "packed"])
def test_an_export_asks_and_continues_an_index_of_another_engine(made, way):
    if lack(way) or lack("export"):
        pytest.skip(lack(way) or lack("export"))
    index, model, sounds = made
    first, export = index(way), model("export")
    paths, scores = ranked(first)
    # An index at a copy: the place of the model that it is asked by is remembered.
    copy = first.directory.parent / f"{way} copy"
    shutil.copytree(first.directory, copy)
    for other in (SoundIndex(copy, model=export), SoundIndex.create(copy, export)):
        assert ranked(other)[0] == paths
        assert np.abs(ranked(other)[1] - scores).max() <= 2 * LARGEST_DIFFERENCE
        assert not other.update([sounds], progress=False).changes
        assert other._encoder.encoder.engine == "onnx"
    # By name it is refused.
    with pytest.raises(SearchError, match="engine packed: models of this kind have onnx"):
        SoundIndex.create(copy, export, settings=EncoderSettings(engine="packed"))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["torch", "int8"])
@pytest.mark.parametrize("where", ["export", "export int8"])
def test_an_exported_text_tower_asks_its_own_precision_or_says_so(made, caplog, way, where):
    if lack("export"):
        pytest.skip(lack("export"))
    index, model, _ = made
    first = index(way)
    if way == "int8":
        with pytest.raises(SearchError, match="text tower of another model than .* in int8"):
            SoundIndex(first.directory, text_tower=model(where))
        return
    with caplog.at_level(logging.WARNING):
        other = SoundIndex(first.directory, text_tower=model(where))
    cosine = float((other.embed_texts([QUESTION]) * first.embed_texts([QUESTION])).sum())
    if where == "export":
        assert cosine > 1 - 1e-6 and "text tower is in" not in caplog.text
    else:
        # What docs/engines.md allows, with the drift that it states for a trained model.
        assert 0.98 < cosine < 1 - 1e-6
        assert "the text tower is in int8" in caplog.text and "was made in float32" in caplog.text


def test_an_int8_index_of_the_first_form_answers_as_before(made, tmp_path):
    index, model, sounds = made
    # As it was made: both towers with one scale a call.
    plain = load_encoder(model("model"), device="cpu")
    text = quantize_linear_layers(plain.model.text_model)
    fingerprint, plain.model.text_model = plain.fingerprint, text
    compute_one_at_a_time(text)
    expected = plain.embed_texts([QUESTION])
    shutil.copytree(index("int8").directory, tmp_path / "older")
    record = json.loads((tmp_path / "older" / "index.json").read_text())
    assert record["fingerprint"] == of_int8(fingerprint, 2)
    record["fingerprint"] = of_int8(fingerprint, 1)
    (tmp_path / "older" / "index.json").write_text(json.dumps(record))
    older = SoundIndex(tmp_path / "older")
    assert (older.embed_texts([QUESTION]) == expected).all()
    assert (older.embed_texts([QUESTION]) != index("int8").embed_texts([QUESTION])).any()
    again = SoundIndex.create(tmp_path / "older", model("model"), settings=EncoderSettings(precision="int8"))
    assert not again.update([sounds], progress=False).changes
    assert ranked(again)[0] == ranked(older)[0]


def test_rounding_by_token_keeps_small_tokens_beside_a_large_one():
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 32)
    inputs = torch.randn(2, 7, 64)
    inputs[0, 3] *= 100.0
    with torch.no_grad():
        exact, by_call, by_token = (
            layer(inputs) for layer in (linear, Int8Linear(linear), Int8RowLinear(linear))
        )
        others = [place for place in range(7) if place != 3]
        error = (by_token - exact)[0, others].abs().max()
        assert error < 0.05 < (by_call - exact)[0, others].abs().max()
        # A token's numbers do not depend on the others of its batch, also of one whose numbers are all equal.
        assert torch.equal(Int8RowLinear(linear)(inputs[1:, :2]), by_token[1:, :2])
        constant = Int8RowLinear(linear)(torch.full((1, 64), 2.0))
        assert (constant - linear(torch.full((1, 64), 2.0))).abs().max() < 0.1
