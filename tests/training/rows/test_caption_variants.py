"""Back-translations and edits at load time: chosen by generator and row, and refused where they do not fit."""

import pickle
import sys
from collections import Counter

import numpy as np
import pytest
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import DataError, load_captioned_folder
from auricle.training.recipe.schema import AugmentationSection
from auricle.training.rows.caption_edits import CaptionEditor
from auricle.training.rows.caption_variants import CaptionVariants, caption_variants
from auricle.training.rows.synonyms import SynonymError, SynonymReplacement, WordNet

SYNONYMS = {"dog": ("hound", "canine"), "barks": (), "loud": ("noisy",)}


def lookup(word):
    return SYNONYMS.get(word, ())


def generators(count):
    return (np.random.default_rng((1, number)) for number in range(count))


def test_a_row_takes_its_alternatives_as_often_as_is_said():
    variants = CaptionVariants([["one", "two"], []], 0.5)
    chosen = Counter(variants.choose(0, "own", generator) for generator in generators(2000))
    assert chosen["own"] == pytest.approx(1000, abs=90)
    assert chosen["one"] == pytest.approx(500, abs=80) and chosen["two"] == pytest.approx(500, abs=80)
    assert {variants.choose(1, "own", generator) for generator in generators(50)} == {"own"}


def test_what_was_chosen_is_edited():
    variants = CaptionVariants([["three words here"]], 1.0, CaptionEditor(1.0))
    found = {variants.choose(0, "own", generator) for generator in generators(60)}
    assert found == {"words here", "three here", "three words"}


def test_a_synonym_stands_where_its_word_stood():
    edit = SynonymReplacement(lookup)
    found = {" ".join(edit(["The", "dog,", "barks", "loud."], generator)) for generator in generators(80)}
    assert found == {"The hound, barks loud.", "The canine, barks loud.", "The dog, barks noisy."}
    assert {edit(["Dog"], generator)[0] for generator in generators(30)} == {"Hound", "Canine"}
    assert edit(["a", "barks", "-"], np.random.default_rng(0)) is None


def test_half_of_the_edits_are_synonyms(monkeypatch):
    monkeypatch.setattr("auricle.training.rows.caption_variants.WordNet", lambda: lookup)
    section = AugmentationSection(word_deletion=1.0, synonyms=True)
    editor = caption_variants(section, None).editor
    lengths = Counter(len(editor.edit("loud dog", generator).split()) for generator in generators(1000))
    assert lengths[2] == pytest.approx(500, abs=70)


@pytest.fixture
def translated(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds", {"train": 3})
    done = CliRunner().invoke(
        app, ["augment", "back-translate", str(folder), str(tmp_path / "out"), "--no-progress"]
    )
    assert done.exit_code == 0, done.output
    return folder, tmp_path / "out"


def test_a_recipe_reads_what_the_command_wrote(translated):
    folder, out = translated
    table = load_captioned_folder(folder)
    variants = caption_variants(
        AugmentationSection(back_translated=str(out), back_translation_probability=1.0), table
    )
    for row, caption in enumerate(table["caption"]):
        (text,) = variants.alternatives[row]
        assert variants.choose(row, caption, np.random.default_rng(0)) == text != caption
    assert caption_variants(AugmentationSection(), table) is None
    off = AugmentationSection(back_translated=str(out), back_translation_probability=0.0)
    assert caption_variants(off, table) is None


def test_translations_of_other_captions_are_refused(translated, tmp_path):
    folder, out = translated
    section = AugmentationSection(back_translated=str(out))
    table = load_captioned_folder(folder)
    changed = table.map(lambda row: {"caption": row["caption"] + " twice"})
    with pytest.raises(DataError, match=r"was translated from another caption than '.* twice'"):
        caption_variants(section, changed)
    other = load_captioned_folder(write_captioned_folder(tmp_path / "others", {"train": 2}))
    with pytest.raises(DataError, match="contains none of the 4 training rows"):
        caption_variants(section, other)
    with pytest.raises(DataError, match=r"no captions\.parquet found; `auricle augment back-translate`"):
        caption_variants(AugmentationSection(back_translated=str(folder)), table)


def write_wordnet(folder):
    """A WordNet of three senses in its own file format, as `wndb(5WN)` describes it."""
    place = folder / "corpora" / "wordnet"
    place.mkdir(parents=True)
    header = "  1 a license\n"
    senses = {
        "noun": [("dog", ["dog", "hound", "domestic_dog"]), ("hammer", ["hammer", "mallet"])],
        "verb": [("bark", ["bark", "yelp"])],
        "adj": [],
        "adv": [],
    }
    letters = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
    kinds, keys = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}, []
    for part, groups in senses.items():
        data, index = header, {}
        for _, words in groups:
            offset = len(data)
            listed = " ".join(f"{word} 0" for word in words)
            frames = " 01 + 02 00" if part == "verb" else ""
            data += f"{offset:08d} 05 {letters[part]} {len(words):02x} {listed} 000{frames} | a gloss\n"
            for word in words:
                index[word] = offset
                keys.append(f"{word}%{kinds[part]}:05:00:: {offset:08d}")
        (place / f"data.{part}").write_text(data)
        lines = [f"{word} {letters[part]} 1 0 1 0 {index[word]:08d}  \n" for word in sorted(index)]
        (place / f"index.{part}").write_text(header + "".join(lines))
        (place / f"{part}.exc").write_text("barks bark\n" if part == "verb" else "")
    (place / "index.sense").write_text("".join(f"{key} 1 0\n" for key in sorted(keys)))
    (place / "lexnames").write_text("".join(f"{number:02d}\tkind{number}\t1\n" for number in range(6)))
    return folder


@pytest.fixture
def nltk_data(tmp_path, monkeypatch):
    """NLTK that looks for its data in an empty directory, its WordNet not loaded yet."""
    nltk = pytest.importorskip("nltk")
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr("nltk.corpus.wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))
    return tmp_path


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_wordnet_gives_the_other_words_of_a_sense(nltk_data):
    write_wordnet(nltk_data)
    found = WordNet()
    assert found("dog") == ("hound", "domestic dog") and found("hammer") == ("mallet",)
    assert found("bark") == ("yelp",) and found("barks") == () and found("violin") == ()
    assert pickle.loads(pickle.dumps(found))("hound") == ("dog", "domestic dog")


def test_missing_files_of_wordnet_are_said(nltk_data):
    with pytest.raises(SynonymError, match=r"python -m nltk\.downloader wordnet"):
        WordNet()


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(SynonymError, match=r"pip install 'auricle\[synonyms\]'"):
        WordNet()
