"""An index made by one engine or precision and asked by another one: right, or refused by name."""

import json

import numpy as np
import pytest

from auricle.encoders import load_encoder
from auricle.encoders.engines.engine_names import LARGEST_DIFFERENCE
from auricle.encoders.engines.packed_linear import lack_of_packing
from auricle.search import encoder_settings
from auricle.search.encoder_settings import EncoderSettings
from auricle.search.errors import SearchError
from auricle.search.index_creation import loader_by_engine
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")
QUESTION = "a dog barks while rain falls"


@pytest.fixture
def sounds(tmp_path):
    from sound_libraries import library

    return library(tmp_path / "sounds", 5)


def make(tmp_path, model, sounds, **settings):
    index = SoundIndex.create(tmp_path / "index", model, settings=EncoderSettings(**settings))
    index.update([sounds], progress=False)
    return index


def held(index):
    return json.loads((index.directory / "index.json").read_text())["settings"]


def ranked(index):
    return [(hit.path, hit.score) for hit in index.search(QUESTION, top=5)]


def same(first, second):
    assert [path for path, _ in first] == [path for path, _ in second]
    assert np.allclose([s for _, s in first], [s for _, s in second], atol=2 * LARGEST_DIFFERENCE, rtol=0)


@pytest.mark.skipif(lack_of_packing() is not None, reason=str(lack_of_packing()))
@pytest.mark.parametrize(
    ("made_by", "asked_by"), [("torch", "packed"), ("packed", "torch"), ("packed", None)]
)
def test_engines_of_float32_ask_each_others_indexes(tmp_path, model, sounds, made_by, asked_by):
    index = make(tmp_path, model, sounds, engine=made_by)
    assert held(index).get("engine", "torch") == made_by
    expected = ranked(index)
    other = SoundIndex(index.directory, loader=loader_by_engine(asked_by))
    same(ranked(other), expected)
    assert other._encoder.encoder.engine == (asked_by or made_by)
    # It goes on with the new engine, and embeds nothing anew.
    report = other.update([sounds], progress=False)
    assert not report.changes
    assert held(other).get("engine", "torch") == made_by


@pytest.mark.skipif(lack_of_packing() is not None, reason=str(lack_of_packing()))
def test_an_index_of_an_engine_that_this_machine_lacks_is_asked_by_torch(
    tmp_path, model, sounds, monkeypatch
):
    index = make(tmp_path, model, sounds, engine="packed")
    expected = ranked(index)
    monkeypatch.setattr(encoder_settings, "lack_of_engine", lambda engine: f"no {engine} here")
    other = SoundIndex(index.directory)
    same(ranked(other), expected)
    assert other._encoder.encoder.engine == "torch"
    again = SoundIndex.create(index.directory, model)
    assert again._encoder.encoder.engine == "torch" and held(again)["engine"] == "packed"
    monkeypatch.undo()
    assert SoundIndex.create(index.directory, model)._encoder.encoder.engine == "packed"


def test_an_index_without_the_field_is_torchs(tmp_path, model, sounds):
    index = make(tmp_path, model, sounds)
    # torch is what older indexes were made by, and older programs know no other: it is not written.
    assert "engine" not in held(index)
    older = SoundIndex(index.directory)
    assert older._encoder.options() == {}
    assert ranked(older) == ranked(index)


def test_an_int8_index_keeps_to_int8(tmp_path, model, sounds):
    index = make(tmp_path, model, sounds, precision="int8")
    assert held(index)["precision"] == "int8"
    encoder = load_encoder(model, precision="int8")
    again = SoundIndex(index.directory)
    assert again._encoder.encoder.precision == "int8"
    assert ranked(again) == ranked(index)
    assert (again.embed_texts([QUESTION]) == encoder.embed_texts([QUESTION])).all()
    plain = load_encoder(model, device="cpu")
    assert np.abs(again.embed_texts([QUESTION]) - plain.embed_texts([QUESTION])).max() > LARGEST_DIFFERENCE
    before = ranked(again)
    assert not again.update([sounds], progress=False).changes
    assert ranked(again) == before


@pytest.mark.parametrize(
    ("made_in", "wanted"), [("int8", "float32"), ("float32", "int8"), ("float32", "bf16"), ("int8", "bf16")]
)
def test_precisions_do_not_mix(tmp_path, model, sounds, made_in, wanted):
    make(tmp_path, model, sounds, precision=made_in)
    with pytest.raises(SearchError, match=rf"was made with precision {made_in}, not precision"):
        SoundIndex.create(tmp_path / "index", model, settings=EncoderSettings(precision=wanted))


def test_an_engine_of_float32_does_not_continue_an_int8_index(tmp_path, model, sounds):
    make(tmp_path, model, sounds, precision="int8")
    with pytest.raises(SearchError, match="engine packed: it computes in float32 only, not in int8"):
        SoundIndex.create(tmp_path / "index", model, settings=EncoderSettings(engine="packed"))


@pytest.mark.slow
def test_a_float32_text_tower_does_not_ask_an_int8_index(tmp_path, model, sounds):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    from auricle.hub.onnx_export import export_onnx

    make(tmp_path, model, sounds, precision="int8")
    export_onnx(model, tmp_path / "tower", towers=("text",))
    with pytest.raises(SearchError, match="text tower of another model than .* in int8"):
        SoundIndex(tmp_path / "index", text_tower=tmp_path / "tower")


def test_an_engine_that_is_none():
    with pytest.raises(SearchError, match="engine 'fast': accepted are auto, torch, packed, onnx"):
        EncoderSettings(engine="fast")
