"""What loads our directories beside our own code: sentence-transformers and a pipeline; and classifying."""

import numpy as np
import pytest
import torch
from tiny_models import saved_tiny_model, write_sound

from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.evaluation.zero_shot import classify_sounds

SENTENCES = ["A dog barks!", "rain falls, then a bell rings"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    model, processor = saved_tiny_model(root / "model")
    sounds = [
        str(write_sound(root / f"{n}.wav", seconds, seed=n)) for n, seconds in enumerate((0.4, 1.0, 3.3))
    ]
    return root / "model", model, processor, sounds


@pytest.mark.parametrize("with_files", [False, True])
def test_sentence_transformers_gives_our_vectors(saved, with_files, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import json
    import shutil

    from auricle.hub.publishing import SENTENCE_TRANSFORMERS

    folder, model, processor, sounds = saved
    shutil.copytree(folder, tmp_path / "model")
    if with_files:
        for name, value in SENTENCE_TRANSFORMERS.items():
            (tmp_path / "model" / name).write_text(json.dumps(value))
    theirs = sentence_transformers.SentenceTransformer(
        str(tmp_path / "model"), trust_remote_code=True, device="cpu"
    )
    assert np.abs(theirs.encode(SENTENCES) - embed_captions(model, processor, SENTENCES)).max() < 1e-6
    ours, _ = embed_clips(model, processor, sounds)
    assert np.abs(theirs.encode(sounds) - ours).max() < 1e-6
    assert theirs.similarity_fn_name == "cosine"


@pytest.fixture(scope="module")
def sentence_transformer(saved):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    return sentence_transformers.SentenceTransformer(str(saved[0]), trust_remote_code=True, device="cpu")


def test_sentence_transformers_shows_and_sets_the_models_limit(saved, sentence_transformer):
    _, model, processor, _ = saved
    long = "a dog barks and rain falls and a bell rings " * 9
    assert sentence_transformer.max_seq_length == processor.max_text_tokens == 32
    whole = sentence_transformer.encode(long)
    assert np.abs(whole - embed_captions(model, processor, [long])[0]).max() < 1e-6
    sentence_transformer.max_seq_length = 5
    try:
        short = sentence_transformer.encode(long)
    finally:
        sentence_transformer.max_seq_length = 32
    assert np.abs(short - embed_captions(model, processor, ["a dog barks"])[0]).max() < 1e-6


@pytest.mark.parametrize("name", ["clip.opus", "clip.AIFF", "sounds/clip.m4a", "clip.caf", "mistyped.wav"])
def test_sentence_transformers_does_not_embed_the_name_of_a_sound(sentence_transformer, name):
    with pytest.raises(ValueError, match="the name of a sound file: it would be embedded as words"):
        sentence_transformer.encode([name])


def test_the_way_around_for_sentence_transformers(saved, sentence_transformer, tmp_path):
    import soundfile

    _, model, processor, sounds = saved
    aiff = tmp_path / "clip.aiff"
    waveform, rate = soundfile.read(sounds[1], dtype="float32")
    soundfile.write(aiff, waveform, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match="the name of a sound file"):
        sentence_transformer.encode([str(aiff)])
    array = processor.feature_extractor.load(str(aiff))
    got = sentence_transformer.encode([{"array": array, "sampling_rate": rate}])
    assert np.abs(got - embed_clips(model, processor, [str(aiff)])[0]).max() < 1e-6


def test_transformers_pipeline_classifies_arrays(saved):
    from transformers import pipeline

    folder, model, processor, _ = saved
    pipe = pipeline("zero-shot-audio-classification", model=str(folder), trust_remote_code=True, device="cpu")
    sound = processor.feature_extractor.sampling_rate
    waveform = (0.1 * np.random.default_rng(0).standard_normal(3 * sound)).astype(np.float32)
    answer = pipe(waveform, candidate_labels=["dog", "rain"], hypothesis_template="the sound of {}")
    ours = classify_sounds(
        AuricleEncoder(model, processor), [{"array": waveform, "sampling_rate": sound}], ["dog", "rain"]
    )[0]
    assert {entry["label"]: pytest.approx(entry["score"], abs=1e-4) for entry in answer} == dict(ours)


def test_probabilities_are_a_softmax_of_cosines(saved):
    _, model, processor, sounds = saved
    labels = ["dog", "rain", "bell"]
    answers = classify_sounds(AuricleEncoder(model, processor), sounds, labels, template="{} there")
    with torch.no_grad():
        text = embed_captions(model, processor, [f"{label} there" for label in labels])
        audio, _ = embed_clips(model, processor, sounds)
    wanted = torch.softmax(torch.from_numpy(audio @ text.T).double() / model.config.temperature, dim=1)
    for row, answer in zip(wanted, answers, strict=True):
        assert [share for _, share in answer] == sorted((share for _, share in answer), reverse=True)
        assert all(
            dict(answer)[label] == pytest.approx(float(row[n]), abs=1e-5) for n, label in enumerate(labels)
        )


@pytest.mark.parametrize(
    ("labels", "template", "message"),
    [
        (["dog"], "{}", "two or more"),
        (["dog", "dog"], "{}", "each once"),
        (["dog", "rain"], "sound", "has no {}"),
    ],
)
def test_bad_questions(saved, labels, template, message):
    _, model, processor, sounds = saved
    with pytest.raises(ValueError, match=message):
        classify_sounds(AuricleEncoder(model, processor), sounds, labels, template=template)
