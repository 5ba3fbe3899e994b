"""Frames of our own towers against the towers' patches, and of parts of a recording against the whole."""

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import SAMPLING_RATE, sound, tiny_model_and_processor

from auricle.encoders import EncoderError
from auricle.encoders.auricle_embedding import frame_weights, frames_per_window
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.recordings.recording_frames import RecordingFrames
from auricle.modeling.configuration_passt import PasstConfig
from auricle.modeling.modeling_auricle import AUDIO_MODELS


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return AuricleEncoder(*tiny_model_and_processor(tmp_path_factory.mktemp("tokenizer")))


def test_a_frame_is_the_mean_of_the_patches_over_it(encoder):
    waveform = sound(1.0)[None].astype(np.float32)
    frames = encoder.embed_frames(waveform, [SAMPLING_RATE])
    config = encoder.model.config.audio_config
    extractor = encoder.processor.feature_extractor
    features = extractor.encode(waveform, [SAMPLING_RATE], [1], None, "cpu")["input_features"]
    with torch.no_grad():
        tokens = encoder.model.eval().audio_model(features).last_hidden_state[0, 2:]
        grid = tokens.reshape(config.num_frequency_patches, -1, config.hidden_size)
        assert frames.shape == (1, 2, encoder.embedding_dim)
        for frame, vector in enumerate(frames[0]):
            inside = [
                grid[row, column]
                for row in range(grid.shape[0])
                for column in range(grid.shape[1])
                if frame * 0.5
                <= (column * config.time_stride + config.patch_size / 2) * 0.01
                < (frame + 1) * 0.5
            ]
            by_hand = encoder.model.project_audio(torch.stack(inside).mean(dim=0, keepdim=True))[0]
            assert np.abs(vector - by_hand.numpy()).max() < 1e-5


SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "num_mel_bins": 32,
    "num_frames": 128,
}
BEATS_SIZES = {"patch_embed_dim": 32, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}


@pytest.mark.parametrize(("name", "more"), [("auricle_beats", BEATS_SIZES), ("auricle_eat", {})])
def test_columns_of_the_other_towers_are_means_of_neighbouring_patches(name, more):
    model_class = AUDIO_MODELS[name]
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**SIZES, **more)).eval()
    with torch.no_grad():
        hidden = model(torch.randn(2, 128, 32)).last_hidden_state
        columns = model.token_columns(hidden)
    patches, rows = hidden[:, -16:], model.config.num_frequency_patches
    assert columns.shape == (2, 8, 32) and rows == 2
    for column in range(8):
        by_hand = patches[:, column * rows : (column + 1) * rows].mean(dim=1)
        assert torch.allclose(columns[:, column], by_hand, atol=1e-6)


def test_weights_leave_out_padding_and_add_up_to_one():
    config = PasstConfig(num_frames=1000, num_mel_bins=128)
    weights = frame_weights(config, 99, frame_seconds=0.5, mel_hop_seconds=0.01, real_seconds=3.2)
    assert weights.shape == (7, 99)
    assert np.allclose(weights.sum(axis=1), 1)
    used = np.flatnonzero(weights.any(axis=0))
    assert (used * config.time_stride + config.patch_size).max() * 0.01 <= 3.2 + 0.006
    assert frames_per_window(config, 10.0) == 20
    short = frame_weights(config, 99, frame_seconds=0.5, mel_hop_seconds=0.01, real_seconds=0.01)
    assert short.shape == (1, 99) and short[0, 0] == 1


def test_frames_behind_the_sound_are_zeros(encoder):
    waveform = np.zeros((1, encoder.window_samples), dtype=np.float32)
    waveform[0, : SAMPLING_RATE // 2] = sound(0.5)
    frames = encoder.embed_frames(waveform, [SAMPLING_RATE // 2])[0]
    assert np.isclose(np.linalg.norm(frames[0]), 1) and not frames[1:].any()


def test_parts_of_a_recording_are_frames_of_the_whole(encoder, tmp_path):
    path, seconds = tmp_path / "long.wav", 7.3
    soundfile.write(path, sound(seconds), SAMPLING_RATE, subtype="FLOAT")
    starts, ends, whole = RecordingFrames(encoder, path, seconds, batch_size=2).between(-5.0, 99.0)
    assert len(starts) == 15 and starts[0] == 0 and ends[-1] == pytest.approx(seconds)
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    asked = RecordingFrames(encoder, path, seconds)
    for start, end in ((6.9, 9.0), (0.0, 0.4), (2.2, 4.9), (0.0, 7.3)):
        begins, _, rows = asked.between(start, end)
        inside = (ends > start) & (starts < end)
        assert np.allclose(begins, starts[inside])
        assert np.abs(rows - whole[inside]).max() < 2e-6


def test_an_encoder_without_frames_is_refused(encoder):
    class Without(type(encoder)):
        frame_seconds = None

    with pytest.raises(EncoderError, match="has no frame vectors"):
        RecordingFrames(Without(encoder.model, encoder.processor), "a.wav", 1.0)
