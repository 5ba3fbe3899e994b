"""The first dimensions of a model's vectors: which widths, and that all kinds of vectors are cut alike."""

import numpy as np
import pytest
from encoder_cases import save_auricle_matryoshka
from tiny_models import write_sound

from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matryoshka") / "model"
    save_auricle_matryoshka(folder)
    return folder


def prefix(rows, width):
    rows = rows[..., :width].astype(np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_all_vectors_are_prefixes_of_unit_length(folder, tmp_path):
    whole, cut = load_encoder(folder, device="cpu"), load_encoder(folder, device="cpu", truncate_dim=4)
    assert (whole.embedding_dim, cut.embedding_dim) == (12, 4)
    assert (whole.matryoshka_dims, cut.matryoshka_dims) == ((8, 4), (4,))
    path = write_sound(tmp_path / "a.wav", 2.3, 44_100)
    whole_windows, windows = (
        embed_recording(encoder, path, hop_seconds=encoder.window_seconds) for encoder in (whole, cut)
    )
    pairs = [
        (whole.embed_texts(["rain"]), cut.embed_texts(["rain"])),
        (whole.embed_clips([str(path)])[0], cut.embed_clips([str(path)])[0]),
        (whole_windows.vectors, windows.vectors),
        (whole_windows.vector, windows.vector),
    ]
    for rows, short in pairs:
        assert short.dtype == np.float32 and np.abs(short - prefix(rows, 4)).max() <= 1e-6
    assert len(windows.vectors) == 3


def test_the_width_is_part_of_what_it_is(folder):
    prints = {load_encoder(folder, device="cpu", truncate_dim=width).fingerprint for width in (4, 8, 12)}
    assert len(prints) == 3 and load_encoder(folder, device="cpu").fingerprint in prints


def test_other_widths_are_refused_with_those_that_are_accepted(folder, tmp_path):
    with pytest.raises(EncoderError, match=f"{folder}: .*cut to 6 dimensions; accepted are 12, 8, 4"):
        load_encoder(folder, device="cpu", truncate_dim=6)
    from tiny_models import saved_tiny_model

    saved_tiny_model(tmp_path / "plain")
    with pytest.raises(EncoderError, match="names no Matryoshka dimensions, so only its own 12 are accepted"):
        load_encoder(tmp_path / "plain", device="cpu", truncate_dim=8)


def test_an_unreadable_clip_stays_at_zeros(folder, tmp_path):
    (tmp_path / "b.wav").write_bytes(b"no sound")
    rows, failures = load_encoder(folder, device="cpu", truncate_dim=4).embed_clips(
        [str(tmp_path / "b.wav")], skip_unreadable=True
    )
    assert len(failures) == 1 and not rows.any()
