"""The moment head: spans, padding, parts of long recordings, and a saved head where this package does not exist."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from auricle.evaluation.metrics.moment_metrics import temporal_iou
from auricle.modeling import AuricleForMomentRetrieval, AuricleMomentConfig
from auricle.modeling.moment_spans import best_spans, generalized_iou, parts_of, span_iou

DECODERS = ("dense", "queries")


def tiny_head(decoder="dense", seed=0, **fields):
    """A head of two layers, 16 wide, on vectors of 12 numbers each half a second."""
    settings = {
        "frame_dim": 12,
        "decoder": decoder,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_queries": 4,
        "num_decoder_layers": 1,
        "max_frames": 40,
        "encoder_name": "an encoder",
        "encoder_fingerprint": "0" * 64,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AuricleForMomentRetrieval(AuricleMomentConfig(**{**settings, **fields})).eval()


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(
        torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def random_spans(count, generator):
    starts = generator.uniform(0, 20, size=count)
    return np.stack([starts, starts + generator.uniform(0.1, 10, size=count)], axis=1)


def test_overlap_equals_the_measures():
    generator = np.random.default_rng(0)
    first, second = random_spans(40, generator), random_spans(30, generator)
    found = span_iou(torch.from_numpy(first)[:, None], torch.from_numpy(second)[None])
    assert np.abs(found.numpy() - temporal_iou(first, second)).max() < 1e-12
    generalized = generalized_iou(torch.from_numpy(first)[:, None], torch.from_numpy(second)[None])
    for one, row in zip(first, generalized, strict=True):
        for other, value in zip(second, row, strict=True):
            around = max(one[1], other[1]) - min(one[0], other[0])
            shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
            union = (one[1] - one[0]) + (other[1] - other[0]) - shared
            assert float(value) == pytest.approx(shared / union - (around - union) / around, abs=1e-12)
    assert float(generalized_iou(torch.tensor([0.0, 1.0]), torch.tensor([9.0, 10.0]))) == pytest.approx(-0.8)


@pytest.mark.parametrize("vote", [0.6, 1.0])
def test_suppression_of_repeats_equals_brute_force(vote):
    generator = np.random.default_rng(1)
    for _ in range(100):
        count = int(generator.integers(1, 25))
        spans = random_spans(count, generator)
        scores = generator.integers(0, 6, size=count) / 5  # ties and zeros
        kept, wanted = [], []
        for place in sorted(range(count), key=lambda place: -scores[place]):
            if len(kept) < 5 and all(
                temporal_iou([spans[place]], [spans[other]])[0, 0] < 0.5 for other in kept
            ):
                kept.append(place)
                near = temporal_iou([spans[place]], spans)[0] >= vote
                weights = scores * near
                mean = (weights[:, None] * spans).sum(axis=0) / weights.sum() if weights.sum() else None
                wanted.append(spans[place] if vote == 1.0 or mean is None else mean)
        found, found_scores = best_spans(
            torch.from_numpy(spans), torch.from_numpy(scores), top=5, same_span_iou=0.5, vote_iou=vote
        )
        assert np.abs(found.numpy() - np.array(wanted)).max() < 1e-9
        assert found_scores.tolist() == [scores[place] for place in kept]


@pytest.mark.parametrize("frames", [1, 7, 40, 41, 60, 79, 80, 500])
def test_parts_divide_a_recording(frames):
    parts = parts_of(frames, 40)
    owned = [frame for _, _, first, end in parts for frame in range(first, end)]
    assert owned == list(range(frames))
    for first, end, own_first, own_end in parts:
        assert end - first == min(frames, 40)
        # Away from edges that are none of the recording's.
        assert own_first == 0 or own_first - first >= 10
        assert own_end == frames or end - own_end >= 10


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_frame_of_two_vectors_is_compared_with_both(decoder):
    head = tiny_head(decoder, frame_source="both", contrast=True)
    common = unit(12, seed=7)
    head.common_query.data.copy_(common)
    vectors, questions, seen = unit(2, 9, 2, 12), unit(2, 12, seed=1), []
    head.fusion.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        head(vectors.flatten(2), questions)
    for pair in range(2):
        for frame in range(9):
            cosines = [float(vectors[pair, frame, kind] @ questions[pair]) for kind in range(2)]
            less = [
                cosine - float(vectors[pair, frame, kind] @ common) for kind, cosine in enumerate(cosines)
            ]
            assert seen[0][pair, frame, -4:].tolist() == pytest.approx(
                [10 * value for value in cosines + less], abs=1e-5
            )
    with pytest.raises(ValueError, match=r"this head takes \(pairs, frames, 24\)"):
        head(vectors[..., 0, :], questions)


def test_a_head_saved_before_these_fields_answers_as_before(tmp_path):
    head = tiny_head()
    head.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("frame_source", "contrast"):
        config.pop(name)
    # The Trainer writes this into configs that have no such field.
    (tmp_path / "config.json").write_text(json.dumps({**config, "use_cache": False}))
    again, loading = AuricleForMomentRetrieval.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    frames, question = unit(50, 12), unit(12, seed=2)
    assert again.find_moments(frames, question) == head.find_moments(frames, question)


@pytest.mark.parametrize("decoder", DECODERS)
def test_padding_and_neighbours_change_nothing(decoder):
    head = tiny_head(decoder)
    frames, questions = unit(3, 30, 12), unit(3, 12, seed=1)
    lengths = (30, 11, 20)
    mask = torch.arange(30)[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        together = head(torch.where(mask[..., None], frames, 7.0), questions, mask)
        for pair, length in enumerate(lengths):
            alone = head(frames[pair : pair + 1, :length], questions[pair : pair + 1])
            count = length if decoder == "dense" else 4
            for name in ("spans", "logits", "quality_logits", "scores"):
                difference = (together[name][pair, :count] - alone[name][0]).abs().max()
                assert difference < 1e-4, name
            if decoder == "dense":
                assert not together.scores[pair, length:].any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_found_moments_lie_in_the_recording_in_order(decoder):
    head = tiny_head(decoder)
    for frames in (1, 5, 40, 173):
        duration = frames * 0.5 - 0.2
        found = head.find_moments(unit(frames, 12, seed=frames), unit(12, seed=2), duration=duration, top=7)
        assert 1 <= len(found) <= 7
        assert all(0 <= start < end <= duration + 1e-6 for start, end, _ in found)
        scores = [score for _, _, score in found]
        assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1


def test_a_long_recording_is_answered_like_its_parts():
    """What lies far from a part's edges does not depend on what comes after it."""
    head = tiny_head(vote_iou=1.0, longest_seconds=6.0)
    frames, question = unit(400, 12), unit(12, seed=3)
    whole = head.find_moments(frames, question, top=400)
    first = head.find_moments(frames[:40], question, top=400)
    owned = parts_of(400, 40)[0][3] * 0.5
    own = {span for span in map(tuple, np.round(first, 4).tolist()) if (span[0] + span[1]) / 2 < owned - 8}
    assert own and own <= set(map(tuple, np.round(whole, 4).tolist()))


def test_training_mode_is_given_back():
    head = tiny_head().train()
    head.find_moments(unit(5, 12), unit(12))
    assert head.training


def test_wrong_input_is_named():
    head = tiny_head()
    with pytest.raises(
        ValueError, match=r"frames has shape \(2, 5, 11\); this head takes \(pairs, frames, 12\)"
    ):
        head(unit(2, 5, 11), unit(2, 12))
    with pytest.raises(
        ValueError, match=r"questions has shape \(3, 12\); with these frames it must be \(2, 12\)"
    ):
        head(unit(2, 5, 12), unit(3, 12))
    with pytest.raises(ValueError, match=r"frame_mask has shape \(2, 4\)"):
        head(unit(2, 5, 12), unit(2, 12), torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"frames has shape \(0, 12\)"):
        head.find_moments(unit(5, 12)[:0], unit(12))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_size": 10, "num_attention_heads": 4}, "hidden_size=10 must be a multiple of"),
        ({"kernel_size": 4}, "kernel_size=4 must be odd"),
        ({"max_frames": 3}, "max_frames=3 must be at least 4"),
        ({"frame_seconds": 0.0}, "frame_seconds=0.0 must be a number of seconds above 0"),
        ({"longest_seconds": float("inf")}, "longest_seconds=inf"),
        ({"same_span_iou": 0.0}, "same_span_iou=0.0 must lie above 0"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob=1.0"),
        ({"hiden_size": 16}, "hiden_size"),
    ],
)
def test_impossible_settings_are_named(fields, told):
    with pytest.raises((ValueError, TypeError), match=told):
        AuricleMomentConfig(**fields)


def test_full_size_has_about_eight_million_parameters():
    with torch.device("meta"):
        head = AuricleForMomentRetrieval(AuricleMomentConfig())
    assert 7e6 < sum(parameter.numel() for parameter in head.parameters()) < 10e6


# Runs in an interpreter that cannot import the package.
STRANGER = """
import json, sys
from pathlib import Path


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoConfig, AutoModel

work, answers = Path(sys.argv[1]), {}
inputs = torch.load(work / "inputs.pt", weights_only=True)
for decoder in sys.argv[2:]:
    config = AutoConfig.from_pretrained(work / decoder, trust_remote_code=True)
    head = AutoModel.from_pretrained(work / decoder, trust_remote_code=True).eval()
    found = head.find_moments(inputs["frames"], inputs["question"], duration=49.0)
    answers[decoder] = [type(head).__name__, config.encoder_fingerprint, found]
assert not [name for name in sys.modules if name.split(".")[0] == "auricle"]
print(json.dumps(answers))
"""


def test_a_saved_head_answers_without_this_package(tmp_path):
    inputs = {"frames": unit(98, 12), "question": unit(12, seed=5)}
    heads = {decoder: tiny_head(decoder) for decoder in DECODERS}
    for decoder, head in heads.items():
        head.save_pretrained(tmp_path / "home" / decoder)
    shutil.move(tmp_path / "home", tmp_path / "away")
    torch.save(inputs, tmp_path / "away" / "inputs.pt")
    code = sorted(path.name for path in (tmp_path / "away" / "dense").glob("*.py"))
    assert code == ["config_checks.py", "configuration_moment.py", "modeling_moment.py", "moment_spans.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(tmp_path / "away"), *DECODERS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    for decoder, (kind, encoder, found) in json.loads(done.stdout).items():
        assert kind == "AuricleForMomentRetrieval" and encoder == "0" * 64
        expected = heads[decoder].find_moments(inputs["frames"], inputs["question"], duration=49.0)
        assert [tuple(span) for span in found] == expected
