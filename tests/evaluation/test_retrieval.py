"""Scoring a split: what is a query, what is relevant, and the figures against counting by hand."""

import numpy as np
import pytest
import torch
from tiny_models import tiny_model_and_processor, write_sound

from auricle.data import CaptionedClip, build_table
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.evaluation.retrieval import RetrievalSplit, evaluate_retrieval
from auricle.processing import AudioReadError

NAMES = [
    f"{direction}_{figure}"
    for direction in ("text_to_audio", "audio_to_text")
    for figure in ("R@1", "R@5", "R@10", "mAP@10", "mAP@16")
]
CAPTIONS = {
    "0.wav": ["a dog barks", "a dog", "a dog barks"],  # two people may say the same
    "1.wav": ["rain falls"],
    "2.wav": ["a dog barks", "loud rain"],  # shares a caption with the first clip
    "3.wav": ["a bell rings", "a bell", "a bell and rain"],
}
KINDS = {"0.wav": "animal", "1.wav": "weather", "2.wav": "animal", "3.wav": "object"}


def table_of(folder, captions=CAPTIONS, missing=()):
    rows = []
    for index, (name, sentences) in enumerate(captions.items()):
        path = folder / name if name in missing else write_sound(folder / name, 0.5 + index, seed=index)
        clip = CaptionedClip("made", "test", name, path, sentences, extra={"kind": KINDS[name]})
        rows += clip.rows()
    return build_table(rows)


def interleaved(table):
    """Rows of one clip apart from each other."""
    return table.select(sorted(range(len(table)), key=lambda row: (row % 3, row)))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("parts"))


def brute_figures(scores, relevant):
    """Text to audio from scores ``(queries, items)``, walking down every list."""
    figures = dict.fromkeys(("R@1", "R@5", "R@10", "mAP@10", "mAP@16"), 0.0)
    for row, wanted in zip(scores, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))
        for k in (1, 5, 10):
            figures[f"R@{k}"] += bool(set(order[:k]) & set(wanted)) / len(scores)
        for k in (10, 16):
            hits = [place for place, item in enumerate(order[:k], start=1) if item in wanted]
            precision = sum((number + 1) / place for number, place in enumerate(hits))
            figures[f"mAP@{k}"] += precision / len(wanted) / len(scores)
    return figures


def brute_evaluation(model, processor, table, group):
    """Everything one at a time: embed, compare, rank."""
    clips, queries = {}, []
    for row in table:
        clips.setdefault(row["clip_id"], row)
        pair = (row["caption"], row[group])
        if group == "clip_id" or pair not in queries:
            queries.append(pair)
    with torch.no_grad():
        audio = [
            model.get_audio_features(**processor(audio=[row["audio"]])).pooler_output[0]
            for row in clips.values()
        ]
        text = [model.get_text_features(**processor(text=caption)).pooler_output[0] for caption, _ in queries]
    scores = (torch.stack(text).double() @ torch.stack(audio).double().T).numpy()
    groups = [row[group] for row in clips.values()]
    forward = [[i for i, own in enumerate(groups) if own == wanted] for _, wanted in queries]
    backward = [[i for i, (_, own) in enumerate(queries) if own == wanted] for wanted in groups]
    return {
        **{f"text_to_audio_{k}": v for k, v in brute_figures(scores, forward).items()},
        **{f"audio_to_text_{k}": v for k, v in brute_figures(scores.T, backward).items()},
    }


@pytest.mark.parametrize("group", ["clip_id", "kind"])
@pytest.mark.parametrize("order", ["together", "interleaved"])
def test_figures_equal_counting_by_hand(parts, tmp_path, group, order):
    table = table_of(tmp_path)
    table = interleaved(table) if order == "interleaved" else table
    got, _ = evaluate_retrieval(AuricleEncoder(*parts), table, relevance_column=group, batch_size=3)
    assert list(got) == NAMES
    assert got == pytest.approx(brute_evaluation(*parts, table, group), abs=1e-9)


def test_every_caption_of_a_clip_is_a_query_and_equal_ones_stay_two(tmp_path):
    split = RetrievalSplit.from_table(interleaved(table_of(tmp_path)))
    assert len(split.audio) == len(set(split.clip_groups)) == 4
    assert sorted(split.captions) == sorted(sentence for some in CAPTIONS.values() for sentence in some)
    owners = [group.rsplit("/")[-1] for group in split.caption_groups]
    pairs = set(zip(split.captions, owners, strict=True))
    assert pairs == {(sentence, name) for name, some in CAPTIONS.items() for sentence in some}
    own = {
        clip["path"].rsplit("/")[-1]: group.rsplit("/")[-1]
        for clip, group in zip(split.audio, split.clip_groups, strict=True)
    }
    assert own == {name: name for name in CAPTIONS}


def test_with_a_coarser_column_equal_queries_of_one_group_are_one(tmp_path):
    split = RetrievalSplit.from_table(table_of(tmp_path), "kind")
    assert split.clip_groups == ["animal", "weather", "animal", "object"]
    assert len(split.captions) == 7  # "a dog barks" of two animals is one query
    pairs = list(zip(split.captions, split.caption_groups, strict=True))
    assert pairs.count(("a dog barks", "animal")) == 1


def test_equal_captions_of_different_groups_stay_apart(tmp_path):
    captions = {"0.wav": ["a sound"], "1.wav": ["a sound"], "3.wav": ["a sound"]}
    split = RetrievalSplit.from_table(table_of(tmp_path, captions), "kind")
    assert split.captions == ["a sound"] * 3
    assert split.caption_groups == ["animal", "weather", "object"]


def unit(*angles):
    return np.array([[np.cos(angle), np.sin(angle)] for angle in np.radians(angles)], dtype=np.float32)


def split_of(clip_groups, caption_groups):
    return RetrievalSplit([{}] * len(clip_groups), clip_groups, [""] * len(caption_groups), caption_groups)


def test_perfect_and_reversed_embeddings():
    split = split_of(["a", "b", "c"], ["a", "b", "c"])
    perfect = split.metrics(unit(0, 60, 120), unit(0, 60, 120))
    assert perfect == dict.fromkeys(NAMES, 1.0)
    # Query "a" points at c, "c" at a: their own clips come last, at place three; b is still first.
    reversed_ = split.metrics(unit(0, 60, 120), unit(120, 60, 0))
    assert reversed_["text_to_audio_R@1"] == pytest.approx(1 / 3)
    assert reversed_["text_to_audio_mAP@16"] == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)


def test_several_relevant_items():
    # Query "a" ranks the clips 0, 1, 2, 3; its own are 1 and 3: (1/2 + 2/4) / 2.
    split = split_of(["b", "a", "b", "a"], ["a", "b"])
    got = split.metrics(unit(5, 10, 15, 20), unit(0, 90))
    assert got["text_to_audio_mAP@16"] == pytest.approx(((1 / 2 + 2 / 4) / 2 + (1 / 2 + 2 / 4) / 2) / 2)
    # All four clips lie nearer to query "a"; the two of group "b" find theirs second.
    assert got["audio_to_text_R@1"] == pytest.approx(0.5)
    assert got["audio_to_text_mAP@10"] == pytest.approx(0.75)


def test_a_group_without_a_partner_is_named():
    with pytest.raises(ValueError, match="query 1 is of group 'd'"):
        split_of(["a", "b"], ["a", "d"]).metrics(unit(0, 1), unit(0, 1))


def test_the_part_of_a_file_that_a_row_names_is_evaluated(parts, tmp_path):
    path = write_sound(tmp_path / "long.wav", 6.0, seed=1)
    clips = [
        CaptionedClip("made", "test", f"part{i}", path, [caption], offset=2.0 * i, duration=1.5)
        for i, caption in enumerate(["rain", "a bell", "a dog"])
    ]
    table = build_table([row for clip in clips for row in clip.rows()])
    got, _ = evaluate_retrieval(AuricleEncoder(*parts), table)
    assert got == pytest.approx(brute_evaluation(*parts, table, "clip_id"), abs=1e-9)


def test_an_unreadable_clip_stops_it_by_name(parts, tmp_path):
    with pytest.raises(AudioReadError, match="2.wav: no such file"):
        evaluate_retrieval(AuricleEncoder(*parts), table_of(tmp_path, missing=["2.wav"]))


def test_an_empty_split_and_an_unknown_column_are_named(parts, tmp_path):
    table = table_of(tmp_path)
    with pytest.raises(ValueError, match="no rows to evaluate"):
        evaluate_retrieval(AuricleEncoder(*parts), table.select([]))
    with pytest.raises(ValueError, match=r"relevance_column='class' is not a column; there are .*'kind'"):
        evaluate_retrieval(AuricleEncoder(*parts), table, relevance_column="class")
