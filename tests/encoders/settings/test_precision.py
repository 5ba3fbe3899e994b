"""Precisions: their names, machines that lack them, and an Auricle model's towers in half precision."""

import numpy as np
import pytest
import torch
from tiny_models import saved_tiny_model, sound

from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.settings.precision import full_name, lack_of

SENTENCES = ["a dog barks", "rain"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision") / "model"
    saved_tiny_model(folder)
    return folder


def capabilities(monkeypatch, **flags):
    """Lets torch tell that the processor has these."""
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False, **flags}
    )


@pytest.mark.parametrize(
    ("written", "name"),
    [("bf16", "bfloat16"), ("FP16", "float16"), ("float32", "float32"), ("int8", "int8"), ("half", "half")],
)
def test_names(written, name):
    assert full_name(written) == name


def test_what_a_processor_has_decides_over_bfloat16(monkeypatch):
    capabilities(monkeypatch)
    assert "avx512_bf16 or amx_bf16" in lack_of("bfloat16", "cpu")
    for flag in ("avx512_bf16", "amx_bf16"):
        capabilities(monkeypatch, **{flag: True})
        assert lack_of("bfloat16", "cpu") is None
    assert "GPUs" in lack_of("float16", "cpu")
    assert lack_of("float32", "cpu") is None and lack_of("int8", "cpu") is None


def test_a_torch_that_names_no_capabilities(monkeypatch):
    capabilities(monkeypatch)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: False, raising=False)
    assert lack_of("bfloat16", "cpu") is not None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert lack_of("bfloat16", "cpu") is None


@pytest.mark.parametrize(("precision", "reason"), [("bf16", "avx512_bf16"), ("float16", "for GPUs")])
def test_a_precision_that_the_device_lacks_is_refused_in_one_line(folder, monkeypatch, precision, reason):
    capabilities(monkeypatch)
    with pytest.raises(EncoderError, match=f"{folder}: precision {full_name(precision)}: .*{reason}") as told:
        load_encoder(folder, device="cpu", precision=precision)
    assert len(str(told.value).splitlines()) == 1


def test_towers_in_bfloat16_are_near_and_told_apart(folder):
    whole = load_encoder(folder, device="cpu")
    half = load_encoder(folder, device="cpu", precision="bf16", emulate_precision=True)
    assert (whole.precision, half.precision) == ("float32", "bfloat16")
    assert (
        len({whole.fingerprint, half.fingerprint})
        == len({whole.text_fingerprint, half.text_fingerprint})
        == 2
    )
    samples = sound(whole.window_seconds + 0.01, whole.sampling_rate)[None, : whole.window_samples]
    for make in (
        lambda encoder: encoder.embed_texts(SENTENCES),
        lambda encoder: encoder.embed_windows(samples, [whole.window_samples]),
    ):
        rows, exact = make(half), make(whole)
        assert rows.dtype == np.float32
        assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-6
        cosines = (rows * exact).sum(axis=1)
        # The towers did compute in it, and only they: bfloat16 keeps 8 bits.
        assert cosines.min() > 0.99 and np.abs(rows - exact).max() > 1e-4


def test_only_the_towers_round(folder):
    """Pooled rows are float32, and what lies behind them is computed as in float32."""
    whole = load_encoder(folder, device="cpu")
    half = load_encoder(folder, device="cpu", precision="bf16", emulate_precision=True)
    pooled = half.pool_texts(SENTENCES)
    assert pooled.dtype == np.float32
    assert np.array_equal(half.project_texts(pooled), whole.project_texts(pooled))
