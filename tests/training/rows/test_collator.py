"""The collator: rows of training clips to one packed batch."""

import numpy as np
import pytest
import torch
from tiny_models import SAMPLING_RATE, sound, tiny_model_and_processor

from auricle.training.rows.collator import RetrievalCollator


@pytest.fixture(scope="module")
def model_and_processor(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def processor(model_and_processor):
    return model_and_processor[1]


def row(seconds: float, caption: str = "a dog barks", group: int = 0, **more) -> dict:
    return {
        "waveform": sound(seconds, seed=int(seconds * 10)),
        "mel_range": None,
        "caption": caption,
        "pooled_text": None,
        "group": group,
        "teacher_audio": None,
        "teacher_text": None,
        "cluster": None,
        **more,
    }


def test_segments_are_packed_and_counted(processor):
    rows = [row(0.5), row(2.2, group=7), row(1.0, "rain", group=7)]
    batch = RetrievalCollator(processor)(rows)
    assert batch["segment_counts"].tolist() == [1, 3, 1]
    assert batch["input_features"].shape == (5, 100, 32)
    assert batch["groups"].tolist() == [0, 7, 7] and batch["groups"].dtype == torch.int64
    assert set(batch) == {
        *("input_features", "segment_counts", "groups"),
        *processor(text=["a"]).keys(),
    }


def test_features_and_tokens_are_those_of_the_processor(processor):
    rows = [row(0.5, "A dog, barks!"), row(2.2, "rain falls on a bell")]
    batch = RetrievalCollator(processor)(rows)
    alone = processor.feature_extractor(rows[1]["waveform"], sampling_rate=SAMPLING_RATE)["input_features"]
    assert torch.equal(batch["input_features"][1:], alone)
    tokens = processor(text=["A dog, barks!", "rain falls on a bell"])
    assert torch.equal(batch["input_ids"], tokens["input_ids"])
    assert torch.equal(batch["attention_mask"], tokens["attention_mask"])


def test_crops_make_segments_of_the_crops_length_and_shorter_clips_are_filled_up(processor):
    batch = RetrievalCollator(processor, crop_seconds=0.4)([row(0.4), row(0.25)])
    assert batch["segment_counts"].tolist() == [1, 1]
    assert batch["input_features"].shape == (2, 40, 32)


def test_each_clip_gets_its_own_mel_range(processor):
    ranges = [(0.0, 7500.0), (9.0, 7100.0)]
    rows = [row(1.6, mel_range=ranges[0]), row(1.6, mel_range=ranges[1])]
    batch = RetrievalCollator(processor)(rows)
    options = {"sampling_rate": SAMPLING_RATE}
    for index, mel_range in enumerate(ranges):
        alone = processor.feature_extractor(rows[0]["waveform"], mel_ranges=[mel_range], **options)
        assert torch.equal(batch["input_features"][2 * index : 2 * index + 2], alone["input_features"])
    assert not torch.equal(batch["input_features"][:2], batch["input_features"][2:])


def test_pooled_text_takes_the_place_of_tokens(processor):
    vectors = [np.arange(16, dtype=np.float32), np.ones(16, dtype=np.float32)]
    batch = RetrievalCollator(processor)([row(0.5, pooled_text=vector) for vector in vectors])
    assert torch.equal(batch["pooled_text"], torch.from_numpy(np.stack(vectors)))
    assert "input_ids" not in batch and "attention_mask" not in batch


def test_the_model_takes_the_batch(model_and_processor):
    model, processor = model_and_processor
    batch = RetrievalCollator(processor)([row(0.5), row(2.2, "rain falls", group=1)])
    batch.pop("groups")
    with torch.no_grad():
        outputs = model(**batch)
    assert outputs.audio_embeds.shape == outputs.text_embeds.shape == (2, 12)


def test_teachers_vectors_and_clusters_are_stacked_where_rows_have_them(processor):
    vectors = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    rows = [
        row(0.5, teacher_audio=vectors[0, number], teacher_text=vectors[1, number], cluster=4 * number)
        for number in range(2)
    ]
    batch = RetrievalCollator(processor)(rows)
    assert torch.equal(batch["teacher_audio"], torch.from_numpy(vectors[0]))
    assert torch.equal(batch["teacher_text"], torch.from_numpy(vectors[1]))
    assert batch["cluster_labels"].tolist() == [0, 4] and batch["cluster_labels"].dtype == torch.int64
    assert "input_ids" in batch
