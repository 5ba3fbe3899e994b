"""What a clip's embedding is does not depend on its company, nor on the process that computes it."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import torch
from tiny_models import sound, tiny_model_and_processor, write_sound

SECONDS = [5.0, 1.0, 12.0, 30.0]
COUNTS = [1, 1, 2, 3]  # segments of ten seconds


@pytest.fixture(scope="module")
def ten_second_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    return tiny_model_and_processor(folder, segment_seconds=10.0)


def embed(model, processor, clips):
    with torch.no_grad():
        return model.get_audio_features(**processor(audio=clips, sampling_rate=16_000)).pooler_output


def test_a_clip_alone_equals_the_clip_in_a_batch(ten_second_model):
    model, processor = ten_second_model
    clips = [sound(seconds, seed=seed) for seed, seconds in enumerate(SECONDS)]
    assert processor(audio=clips, sampling_rate=16_000)["segment_counts"].tolist() == COUNTS
    together = embed(model, processor, clips)
    for row, clip in enumerate(clips):
        alone = embed(model, processor, [clip])[0]
        assert (together[row] - alone).abs().max() <= 1e-6, f"clip of {SECONDS[row]} s"
    # Embeddings that hardly differ would pass whatever was mixed up.
    cosines = together @ together.T - torch.eye(4)
    assert cosines.max() < 0.999


def test_the_order_of_a_batch_does_not_matter(ten_second_model):
    model, processor = ten_second_model
    clips = [sound(seconds, seed=seed) for seed, seconds in enumerate(SECONDS[:3])]
    forward, backward = embed(model, processor, clips), embed(model, processor, clips[::-1])
    assert (forward - backward.flip(0)).abs().max() <= 1e-6


def test_loud_and_silent_company_changes_nothing(ten_second_model):
    model, processor = ten_second_model
    clip, silence, roar = sound(3.0, seed=5), torch.zeros(16_000), 50 * sound(2.5, seed=6)
    alone = embed(model, processor, [clip])[0]
    assert (embed(model, processor, [silence, clip, roar])[1] - alone).abs().max() <= 1e-6


def embedding_digest(model, processor, path):
    """SHA-256 over the features and the embedding of one file, bit for bit."""
    inputs = processor(audio=[path])
    with torch.no_grad():
        embedding = model.get_audio_features(**inputs).pooler_output
    data = inputs["input_features"].numpy().tobytes() + embedding.numpy().tobytes()
    return hashlib.sha256(data).hexdigest()


IN_ANOTHER_PROCESS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_batch_independence import embedding_digest
from auricle.encoders.auricle_checkpoint import load_pretrained
model, processor = load_pretrained(sys.argv[2])
print(json.dumps([embedding_digest(model, processor, path) for path in sys.argv[3:]]))
"""


def test_two_processes_agree_bit_for_bit(tmp_path):
    model, processor = tiny_model_and_processor(tmp_path)
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    paths = [
        str(write_sound(tmp_path / "same_rate.wav", 2.3, seed=1)),
        str(write_sound(tmp_path / "resampled.flac", 1.7, rate=44_100, seed=2, channels=2)),
    ]
    here = [embedding_digest(model, processor, path) for path in paths]
    tests = os.path.dirname(os.path.abspath(__file__))
    search_path = os.pathsep.join([os.path.dirname(tests), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, tests, str(tmp_path / "saved"), *paths],
        env={
            **os.environ,
            "PYTHONPATH": search_path,
            # The same sums in the same order: bit for bit holds for one number of threads.
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1]) == here
    assert len(set(here)) == 2
