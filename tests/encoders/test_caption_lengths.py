"""Captions that are longer than the model reads are counted, and said where one asks, trains and evaluates."""

import json
import logging

import pytest
from tiny_models import saved_tiny_model, tiny_model_and_processor, write_sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import CaptionedClip, build_table
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.caption_lengths import caption_lengths, describe
from auricle.evaluation.reports.report_table import format_report
from auricle.evaluation.similarities import compute_similarities, weighted_sum

SHORT, LONG, LONGEST = "a dog barks.", "rain falls " * 20, "a bell rings " * 30


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("model"))


def test_lengths_are_those_of_the_uncut_tokens(built):
    processor, encoder = built[1], AuricleEncoder(*built)
    lengths = caption_lengths(encoder, [SHORT, LONG, SHORT, LONGEST])
    assert (lengths.limit, lengths.captions, lengths.cut, lengths.longest) == (32, 3, 2, 92)
    by_hand = [len(processor(text=[text], max_length=512)["input_ids"][0]) for text in (SHORT, LONG, LONGEST)]
    assert by_hand == [5, 42, 92]
    exact = " ".join(["rain"] * 30)  # and two special tokens
    assert caption_lengths(encoder, [exact]).cut == 0 and caption_lengths(encoder, [exact + " rain"]).cut == 1
    said = str(lengths)
    assert said.startswith(
        "2 of 3 captions (66.7 %) are longer than the 32 tokens that the model reads and are cut;"
    )
    assert said.endswith("the longest has 92 tokens") and said == describe(
        json.loads(json.dumps(lengths.as_record()))
    )
    assert caption_lengths(encoder, []).share == 0.0


def test_an_evaluations_report_says_it(built, tmp_path):
    clips = [
        CaptionedClip("set", "test", f"{n}.wav", write_sound(tmp_path / f"{n}.wav", seed=n), captions)
        for n, captions in enumerate(([SHORT, LONG], ["rain", LONGEST]))
    ]
    table = build_table(row for clip in clips for row in clip.rows())
    one = compute_similarities(AuricleEncoder(*built), table, name="one")
    assert one.origin["caption_lengths"]["cut"] == 2

    from auricle.evaluation.protocol import evaluate_similarities

    sentence = "2 of 4 captions (50.0 %) are longer than the 32 tokens"
    assert any(line.startswith(sentence) for line in format_report(evaluate_similarities(one, resamples=3)))
    both = evaluate_similarities(weighted_sum([one, one], [1, 2], "both"), resamples=3)
    assert any(line.startswith(f"one: {sentence}") for line in format_report(both))
    one.origin["caption_lengths"] |= {"cut": 0, "share": 0.0}
    assert not any("tokens" in line for line in format_report(evaluate_similarities(one, resamples=3)))
    one.origin.clear()  # as of similarities saved before
    assert not any("tokens" in line for line in format_report(evaluate_similarities(one, resamples=3)))


def test_asking_says_it(tmp_path):
    saved_tiny_model(tmp_path / "model")
    write_sound(tmp_path / "sounds" / "a.wav")
    for sentence, said in ((LONGEST, 1), (SHORT, 0)):
        done = CliRunner().invoke(
            app, ["ask", str(tmp_path / "model"), str(tmp_path / "sounds"), sentence, "--no-progress"]
        )
        assert done.exit_code == 0, done.output
        assert done.stderr.count("the sentence has 92 tokens; the model reads the first 32") == said


def test_an_index_says_it_once(tmp_path, caplog):
    pytest.importorskip("lancedb")
    from auricle.search.sound_index import SoundIndex

    saved_tiny_model(tmp_path / "model")
    write_sound(tmp_path / "sounds" / "a.wav")
    index = SoundIndex.create(tmp_path / "index", str(tmp_path / "model"))
    index.update([tmp_path / "sounds"], progress=False)
    with caplog.at_level(logging.WARNING):
        index.search(SHORT)
        assert "tokens" not in caplog.text
        index.search(LONG)
        index.search(LONGEST)
    assert caplog.text.count("a query has 42 tokens; the model reads the first 32") == 1
    assert caplog.text.count("tokens") == 1
