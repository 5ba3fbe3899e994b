"""Fields and tags that sound files carry, whole and damaged, and how an index gets them."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from tiny_models import saved_tiny_model, sound, write_sound

from auricle.processing import FileRemarks, read_channels
from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_store import Store
from auricle.search.update import sound_fields
from auricle.search.update.field_text import MOST_FIELDS, MOST_LETTERS
from auricle.search.update.sound_fields import SoundFields, read_fields
from auricle.search.update.ucs_names import parse_ucs_name

RATE = 8000
IXML = (
    '<?xml version="1.0" encoding="UTF-8"?><BWFXML><PROJECT>Hedges</PROJECT><SCENE>12A</SCENE><TAKE>3</TAKE>'
    "<NOTE>wind &amp; rain\nfrom the west</NOTE><TRACK_LIST><TRACK><NAME>Boom</NAME></TRACK>"
    "<TRACK><NAME> Lav  Anna </NAME></TRACK></TRACK_LIST>"
    "<ASWG><category>AMBIENCE</category><subCategory>FOREST</subCategory></ASWG></BWFXML>"
)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def bext(
    description=b"A wren in a hedge", date=b"2021-05-04", time=b"06:12:30", samples=172_800_000
) -> bytes:
    texts = description.ljust(256, b"\0") + b"Recorder 7".ljust(32, b"\0") + b"REF0001".ljust(32, b"\0")
    return texts + date + time + struct.pack("<Q", samples) + bytes(256) + b"A=PCM,F=48000\r\n"


def info(**texts: bytes) -> bytes:
    return b"INFO" + b"".join(chunk(name.encode(), text + b"\0") for name, text in texts.items())


def id3(**texts: str) -> bytes:
    frames = b""
    for name, text in texts.items():
        body = b"\x01" + text.encode("utf-16")
        frames += name.encode() + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frames


def wave(path: Path, before: bytes = b"", behind: bytes = b"", long_form: bool = False) -> str:
    """A second of sound between chunks; as RF64 with sizes in ds64."""
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
    samples = (sound(1.0, seed=1)[:RATE] * 20_000).astype("<i2").tobytes()
    data = chunk(b"data", samples, 0xFFFF_FFFF if long_form else None)
    sizes = b""
    if long_form:
        sizes = chunk(b"ds64", struct.pack("<QQQI", 0, len(samples), RATE, 0))
    body = b"WAVE" + sizes + before + form + data + behind
    size = 0xFFFF_FFFF if long_form else len(body)
    path.write_bytes((b"RF64" if long_form else b"RIFF") + struct.pack("<I", size) + body)
    return str(path)


@pytest.mark.parametrize("long_form", [False, True])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_broadcast_wave_tells_scene_take_and_time(tmp_path, where, long_form):
    chunks = chunk(b"JUNK", b"odd") + chunk(b"bext", bext()) + chunk(b"iXML", IXML.encode() + b"\0\0")
    chunks += chunk(b"LIST", b"adtl") + chunk(b"LIST", info(IART=b"Ann\xe9", INAM=b"Wren", ICRD=b"1999"))
    path = wave(tmp_path / "take.wav", **{where: chunks}, long_form=long_form)
    found = read_fields(path)
    assert found.fields == {
        "description": "A wren in a hedge",
        "originator": "Recorder 7",
        "originator_reference": "REF0001",
        "date": "2021-05-04",
        "time": "06:12:30",
        "coding_history": "A=PCM,F=48000",
        "time_reference": "172800000",
        "project": "Hedges",
        "scene": "12A",
        "take": "3",
        "note": "wind & rain\nfrom the west",
        "category": "AMBIENCE",
        "subcategory": "FOREST",
        "track_names": "Boom, Lav Anna",
        "artist": "Anné",
        "title": "Wren",
    }
    assert found.tags == ("AMBIENCE", "FOREST") and found.faults == ()
    # What the chunks of RF64 stand before, not every libsndfile finds.
    assert long_form or len(soundfile.read(path)[0]) == RATE


W64_RIFF = bytes.fromhex("2e91cf11a5d628db04c10000")
W64_LIST = bytes.fromhex("2f91cf11a5d628db04c10000")
W64_OTHER = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def w64_chunk(name: bytes, body: bytes) -> bytes:
    size = 24 + len(body)
    ending = W64_LIST if name == b"list" else W64_OTHER
    return name + ending + struct.pack("<Q", size) + body + bytes(-size % 8)


def w64(path: Path, *, before: bytes = b"", behind: bytes = b"") -> str:
    """A second of sound in Sony Wave64, by libsndfile, between chunks."""
    soundfile.write(path, sound(1.0, seed=1)[:RATE] * 0.5, RATE, format="W64", subtype="PCM_16")
    whole = path.read_bytes()
    whole = whole[:40] + before + whole[40:] + bytes(-len(whole) % 8) + behind
    assert whole[4:16] == W64_RIFF
    path.write_bytes(whole[:16] + struct.pack("<Q", len(whole)) + whole[24:])
    return str(path)


def with_applications(path: Path, name: bytes, contents: list[bytes]) -> str:
    """A FLAC file with APPLICATION blocks behind its STREAMINFO, as `flac --keep-foreign-metadata` writes them."""
    soundfile.write(path, sound(1.0, seed=1)[:RATE] * 0.5, RATE, format="FLAC", subtype="PCM_16")
    whole = path.read_bytes()
    blocks = b"".join(b"\x02" + struct.pack(">I", 4 + len(one))[1:] + name + one for one in contents)
    # STREAMINFO, 34 bytes behind its head, is the last block no more, unless others follow it anyway.
    streaminfo = bytes([whole[4] & 0x7F]) + whole[5:42]
    if whole[4] & 0x80:
        last = len(blocks) - 8 - len(contents[-1])
        blocks = blocks[:last] + b"\x82" + blocks[last + 1 :]
    path.write_bytes(whole[:4] + streaminfo + blocks + whole[42:])
    return str(path)


@pytest.mark.parametrize("where", ["before", "behind"])
def test_wave64_tells_what_a_wave_tells(tmp_path, where):
    chunks = (
        w64_chunk(b"bext", bext())
        + w64_chunk(b"iXML", IXML.encode())
        + w64_chunk(b"list", info(INAM=b"Wren"))
    )
    expected = read_fields(
        wave(
            tmp_path / "a.wav",
            chunk(b"bext", bext()) + chunk(b"iXML", IXML.encode()) + chunk(b"LIST", info(INAM=b"Wren")),
        )
    )
    path = w64(tmp_path / "a.w64", **{where: chunks})
    assert read_fields(path) == expected and len(expected.fields) == 15
    # And no chunk is taken for sound, as libsndfile by itself does with those behind the samples.
    plain, _ = read_channels(w64(tmp_path / "plain.w64"))
    with FileRemarks() as remarks:
        np.testing.assert_array_equal(read_channels(path)[0], plain)
    assert len(plain) == RATE and not remarks.found
    np.testing.assert_array_equal(read_channels(path, offset=0.5)[0], plain[RATE // 2 :])


def test_flac_keeps_the_chunks_of_its_source(tmp_path):
    chunks = [chunk(b"bext", bext()), chunk(b"iXML", IXML.encode()), chunk(b"LIST", info(INAM=b"Wren"))]
    expected = read_fields(wave(tmp_path / "a.wav", b"".join(chunks)))
    head, form = b"RIFF\0\0\0\0WAVE", chunk(b"fmt ", bytes(16))
    # Of the samples the head of their chunk alone.
    kept = [head, *chunks[:2], form, b"data" + struct.pack("<I", 2 * RATE), chunks[2]]
    path = with_applications(tmp_path / "a.flac", b"riff", kept)
    assert read_fields(path) == expected and len(expected.fields) == 15
    assert soundfile.info(path).frames == RATE
    long_chunks = [
        w64_chunk(b"bext", bext()),
        w64_chunk(b"iXML", IXML.encode()),
        w64_chunk(b"list", info(INAM=b"Wren")),
    ]
    assert read_fields(with_applications(tmp_path / "b.flac", b"w64 ", long_chunks)) == expected
    # What other programs keep there, and what is cut, is nothing of ours.
    assert read_fields(with_applications(tmp_path / "c.flac", b"peem", chunks)) == SoundFields()
    cut = with_applications(tmp_path / "d.flac", b"riff", [chunk(b"bext", bext())[:308]])
    assert "bext chunk is damaged: 300 bytes" in read_fields(cut).faults[0]


def test_dates_of_other_signs_and_none(tmp_path):
    path = wave(tmp_path / "a.wav", chunk(b"bext", bext(date=b"2021:05:04", time=b"06-12-30", samples=0)))
    fields = read_fields(path).fields
    assert (fields["date"], fields["time"]) == ("2021-05-04", "06:12:30") and "time_reference" not in fields
    path = wave(tmp_path / "b.wav", chunk(b"bext", bext(date=b"0000-00-00", time=b"\0" * 8)))
    assert not {"date", "time"} & read_fields(path).fields.keys()
    path = wave(tmp_path / "c.wav", chunk(b"bext", bext(date=b"May 4th 21")))
    assert read_fields(path).fields["date"] == "May 4th 21"


BILLION = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<BWFXML><NOTE>&b;</NOTE></BWFXML>"
)
OTHER_FILE = (
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><BWFXML><SCENE>1</SCENE><NOTE>&f;</NOTE></BWFXML>'
)
DAMAGED = {
    "entities": (chunk(b"iXML", BILLION.encode()), "refused: it declares a document type"),
    "another file": (chunk(b"iXML", OTHER_FILE.encode()), "refused: it declares a document type"),
    "too large": (
        chunk(b"iXML", b"<BWFXML>" + b" " * (1 << 20)),
        "iXML chunk of 1,048,584 bytes is not read",
    ),
    "too deep": (chunk(b"iXML", b"<a>" * 5000), "nests elements more than 20 deep"),
    "too many": (chunk(b"iXML", b"<r>" + b"<a/>" * 30_000 + b"</r>"), "more than 20,000 elements"),
    "no XML": (chunk(b"iXML", b"\x01\x02 {"), "iXML chunk is damaged (not well-formed"),
    "unknown letters": (
        chunk(b"iXML", b'<?xml version="1.0" encoding="x-1"?><r/>'),
        "damaged (unknown encoding",
    ),
    "half a bext": (
        chunk(b"bext", bext()[:300]),
        "bext chunk is damaged: 300 bytes are present of at least 602",
    ),
    "bext of noise": (
        chunk(b"bext", np.random.default_rng(0).integers(1, 256, 700, dtype=np.uint8).tobytes()),
        "bext chunk is damaged: no text in its description, originator",
    ),
    "bext beyond the end": (chunk(b"bext", bext(), size=5000), "bext chunk states 5,000 bytes"),
    "INFO of noise": (chunk(b"LIST", b"INFO" + b"\xff" * 40), "INFO chunk is damaged"),
    "INFO beyond its end": (
        chunk(b"LIST", info(INAM=b"x") + b"IART\xff\xff\xff\x0f"),
        "reaches beyond its end",
    ),
    "ID3 of noise": (chunk(b"id3 ", b"\xff" * 40), "ID3 chunk is damaged: it contains no ID3 tag"),
    "a long field": (
        chunk(b"LIST", info(ICMT=b"x" * 50_000)),
        "'comment' has 50,000 characters; the first 2,000",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_and_hostile_chunks_are_told_of_and_cost_nothing_else(tmp_path, kind):
    content, reason = DAMAGED[kind]
    whole = b"" if b"INFO" in content else chunk(b"LIST", info(IKEY=b"kept"))
    found = read_fields(wave(tmp_path / "a.wav", before=whole, behind=content))
    assert len(found.faults) == 1 and reason in found.faults[0]
    assert not whole or found.fields["keywords"] == "kept"
    assert "root:" not in str(found) and len(found.fields.get("comment", "")) <= MOST_LETTERS


def test_what_stands_before_a_break_counts(tmp_path):
    cut = IXML[: IXML.index("wind")].encode()
    found = read_fields(wave(tmp_path / "a.wav", behind=chunk(b"iXML", cut)))
    assert (found.fields["scene"], found.fields["take"]) == ("12A", "3") and len(found.faults) == 1
    latin = IXML.replace(' encoding="UTF-8"', "").replace("wind", "Wörther").encode("latin-1")
    found = read_fields(wave(tmp_path / "b.wav", behind=chunk(b"iXML", latin)))
    assert found.fields["note"].startswith("Wörther") and not found.faults


TAGS = {
    "title": "A brook",
    "artist": "Ann é",
    "album": "Water",
    "genre": "Ambience",
    "comment": "at night 🌙",
}


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.flac", "flac"),
        ("a.opus", "libopus"),
        ("a.wma", "wmav2"),
        ("a.mka", "libopus"),
        ("a.wv", "wavpack"),
        ("a.wav", "pcm_s16le"),
        ("a.mov", "pcm_s16le"),
    ],
)
def test_tags_of_containers(tmp_path, name, codec):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        container.metadata.update(TAGS)
        rate = 44_100 if codec == "wmav2" else 48_000
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        samples = np.zeros((1, rate // 4), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate = rate
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    found = read_fields(str(path))
    assert {key: found.fields.get(key) for key in TAGS} == TAGS and not found.faults
    # What the file tells of itself and of its writer's libraries is left out.
    assert not found.fields.keys() - TAGS.keys() - {"software"}


def test_other_places_of_tags(tmp_path):
    frame = b"\xff\xfb\x10\xc0" + bytes(100)
    first = b"TAG" + b"An old title".ljust(30, b"\0") + b"An\xe9".ljust(30, b"\0") + bytes(65)
    (tmp_path / "id3v1.mp3").write_bytes(20 * frame + first)
    found = read_fields(str(tmp_path / "id3v1.mp3"))
    assert (found.fields["title"], found.fields["artist"]) == ("An old title", "Ané")
    with av.open(str(tmp_path / "a.aac"), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        part.rate = RATE
        container.mux([*stream.encode(part), *stream.encode(None)])
    raw = (tmp_path / "a.aac").read_bytes()
    assert read_fields(str(tmp_path / "a.aac")) == SoundFields()
    (tmp_path / "a.aac").write_bytes(id3(TIT2="A stream") + raw)
    assert read_fields(str(tmp_path / "a.aac")).fields == {"title": "A stream"}
    path = wave(tmp_path / "id3.wav", behind=chunk(b"id3 ", id3(TIT2="In a chunk", TPE1="é")))
    assert read_fields(path) == SoundFields({"title": "In a chunk", "artist": "é"})


def test_no_number_of_fields_is_too_large(tmp_path):
    texts = {f"field {number}": "x" for number in range(300)} | {"note": "a\x00b\x07\ud800c"}
    found = sound_fields.FieldReader()
    for name, text in reversed(texts.items()):
        found.add(name, text)
    found.end()
    assert len(found.fields) == MOST_FIELDS and found.fields["note"] == "abc"
    assert found.faults == ["it has 301 fields; the first 100 are kept"]


@pytest.mark.parametrize(
    ("stem", "parts"),
    [
        ("AMBForst_Wren in a Hedge_AC_LIB01", ("AMBForst", "AMB", "Forst", "", "AC", "LIB01")),
        ("WEATRain_Roof_JD_HOME_take 3_b", ("WEATRain", "WEAT", "Rain", "", "JD", "HOME")),
        ("UIClick_Soft", ("UIClick", "UI", "Click", "", "", "")),
        ("DOORWood-CREAKS_Old Door_AB_NONE", ("DOORWood", "DOOR", "Wood", "CREAKS", "AB", "NONE")),
        ("AMBForst", None),
        ("AMBForst__AC", None),
        ("Rain_on a roof_02", None),
        ("ZOOM0012_LR", None),
        ("FX_door_slam", None),
        ("20210504_061230", None),
        ("AMBForst Wren", None),
        ("", None),
    ],
)
def test_names_of_the_universal_category_system(stem, parts):
    found = parse_ucs_name(stem)
    if parts is None:
        assert found is None
        return
    names = ("catid", "category", "subcategory", "user_category", "creator_id", "source_id")
    assert tuple(getattr(found, name) for name in names) == parts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    saved_tiny_model(folder)
    return str(folder)


def test_an_index_finds_by_them_and_reports_damage_once(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    wave(sounds / "take.wav", behind=chunk(b"bext", bext()) + chunk(b"iXML", IXML.encode()))
    wave(sounds / "bad.wav", behind=chunk(b"iXML", BILLION.encode()) + chunk(b"bext", b"x"))
    write_sound(sounds / "AMBForst_Wren_AC_LIB.wav", 1.0, seed=3)
    (sounds / "metadata.csv").write_text("file_name,note\ntake.wav,said beside it\n")
    index = SoundIndex.create(tmp_path / "index", model)
    report = index.update([sounds], progress=False)
    assert report.added == 3 and not report.faults
    [(path, reason)] = report.field_faults
    assert path == str(sounds / "bad.wav") and "iXML chunk is refused" in reason and "bext" in reason

    def answers(**asked):
        return [Path(hit.path).name for hit in index.search("zebra", **asked)]

    assert answers(metadata={"scene": "12A", "take": "3", "date": "2021-05-04"}) == ["take.wav"]
    assert answers(metadata={"note": "said beside it"}) == ["take.wav"]
    assert answers(tag="Forst") == answers(metadata={"creator_id": "AC"}) == ["AMBForst_Wren_AC_LIB.wav"]
    assert answers(tag="FOREST") == ["take.wav"]
    hits = index.search("a wren in the hedges", names=True)
    assert [Path(hit.path).name for hit in hits][:2] == ["take.wav", "AMBForst_Wren_AC_LIB.wav"]
    again = index.update([sounds], progress=False)
    assert again.unchanged == 3 and not again.field_faults


def test_an_older_index_answers_and_gets_them_without_embedding(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    wave(sounds / "take.wav", behind=chunk(b"bext", bext()))
    write_sound(sounds / "plain.wav", 1.0, seed=3)
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([sounds], progress=False)
    # As an earlier version left it: the hash of what a metadata file says alone, and no fields of `bext`.
    store = Store(tmp_path / "index")
    old = store.entries(list(store.files()))
    for entry in old.values():
        object.__setattr__(entry, "described", "")
        object.__setattr__(entry, "metadata", {})
    store.add(list(old.values()))
    store.finish()
    index = SoundIndex(tmp_path / "index")
    before = index.search("zebra")
    assert len(before) == 2 and not any(hit.metadata for hit in before)
    report = index.update([sounds], progress=False)
    assert (report.described, report.unchanged, report.windows) == (1, 1, 0)
    after = index.search("zebra")
    assert [(hit.path, hit.cosine) for hit in after] == [(hit.path, hit.cosine) for hit in before]
    assert index.search("zebra", metadata={"originator": "Recorder 7"})[0].path == str(sounds / "take.wav")
    again = index.update([sounds], progress=False)
    assert (again.described, again.unchanged, again.changes) == (0, 2, 0)


def test_mutated_chunks_never_raise(tmp_path):
    generator = np.random.default_rng(7)
    chunks = chunk(b"bext", bext()) + chunk(b"iXML", IXML.encode()) + chunk(b"LIST", info(INAM=b"Wren"))
    whole = Path(wave(tmp_path / "a.wav", before=chunks + chunk(b"id3 ", id3(TIT2="x")))).read_bytes()[:2000]
    path, faults = tmp_path / "b.wav", 0
    for _ in range(300):
        content = bytearray(whole)
        for place in generator.integers(12, len(content), generator.integers(1, 20)):
            content[place] = generator.integers(256)
        path.write_bytes(content[: generator.integers(20, len(content))])
        found = read_fields(str(path))
        faults += bool(found.faults)
        for text in (*found.fields, *found.fields.values(), *found.faults):
            text.encode()
            assert len(text) <= MOST_LETTERS
    assert faults > 50
