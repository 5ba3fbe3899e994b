"""Frames as a moment head takes them: patches, short windows on a grid, or both."""

import numpy as np
import pytest
import torch
from tiny_models import saved_tiny_model, write_sound
from tiny_moments import HEAD

from auricle.encoders import load_encoder
from auricle.encoders.recordings.frame_grid import embed_frame_grid
from auricle.encoders.recordings.head_frames import embed_head_frames, short_windows_on_grid
from auricle.encoders.recordings.moment_head import MomentHead
from auricle.encoders.recordings.short_windows import ShortWindows, embed_short_windows
from auricle.modeling.configuration_moment import AuricleMomentConfig
from auricle.modeling.modeling_moment import AuricleForMomentRetrieval


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "model"
    saved_tiny_model(folder)
    return load_encoder(folder)


@pytest.mark.parametrize(("duration", "step"), [(7.3, 0.5), (7.3, 0.3), (2.0, 1.0), (0.2, 0.5), (9.0, 2.5)])
def test_short_windows_are_interpolated(duration, step):
    count = max(1, int(np.ceil(duration - 1e-6)))
    vectors = np.random.default_rng(0).standard_normal((count, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    grid = short_windows_on_grid(ShortWindows(vectors, 1.0, duration), step)
    assert grid.duration == duration and grid.frame_seconds == step
    assert len(grid.vectors) == max(1, int(np.ceil(duration / step - 1e-6)))
    for frame, vector in enumerate(grid.vectors):
        middle = (frame + 0.5) * step
        wanted = np.array([np.interp(middle, np.arange(count) + 0.5, column) for column in vectors.T])
        assert np.abs(vector - wanted / np.linalg.norm(wanted)).max() < 1e-6


def test_both_kinds_stand_one_behind_the_other(encoder, tmp_path):
    path, width = write_sound(tmp_path / "sound.wav", 7.3, seed=3), encoder.embedding_dim
    both = embed_head_frames(encoder, path, source="both", frame_seconds=0.5)
    assert both.vectors.shape == (15, 2 * width) and both.duration == pytest.approx(7.3)
    patches = embed_frame_grid(encoder, path, frame_seconds=0.5)
    windows = short_windows_on_grid(embed_short_windows(encoder, path), 0.5)
    assert (both.vectors[:, :width] == patches.vectors).all()
    assert (both.vectors[:, width:] == windows.vectors).all()
    alone = embed_head_frames(encoder, path, source="short_windows", frame_seconds=0.5)
    assert (alone.vectors == windows.vectors).all()


@pytest.mark.parametrize("source", ["patches", "short_windows", "both"])
@pytest.mark.parametrize("seed", range(4))
def test_a_head_takes_the_frames_that_it_was_trained_on(encoder, tmp_path, source, seed):
    torch.manual_seed(seed)
    config = AuricleMomentConfig(
        frame_dim=encoder.embedding_dim,
        encoder_fingerprint=encoder.fingerprint,
        frame_source=source,
        contrast=True,
        **HEAD,
    )
    AuricleForMomentRetrieval(config).save_pretrained(tmp_path / "head")
    head = MomentHead.load(tmp_path / "head", encoder)
    path = write_sound(tmp_path / "sound.wav", 33.0, seed=4)
    found = head.find(head.frames(path), encoder.embed_texts(["a dog barks"])[0], top=3)
    assert 1 <= len(found) <= 3 and all(0 <= start < end <= 33.0 for start, end, _ in found)
