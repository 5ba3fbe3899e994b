"""Banks of vectors from elsewhere: found by id, brought to unit length, and refused where anything is amiss."""

import csv
import zipfile

import numpy as np
import pytest
from tiny_models import write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.bank_files import BankError, TeacherBank
from auricle.training.teachers.imported_vectors import import_bank, read_arrays, read_rows

COLUMNS = ["row_id", "clip_id", "source", "split", "caption", "file_name", "offset", "duration"]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_captioned_folder(tmp_path_factory.mktemp("import") / "sounds", {"train": 4, "test": 2})


@pytest.fixture(scope="module")
def table(sounds):
    return load_captioned_folder(sounds, split="train")


@pytest.fixture
def vectors(table):
    """Arrays of a model of width 6 in an order of their own, with a clip and a caption that no row names."""
    rng = np.random.default_rng(0)
    clips, rows = sorted(set(table["clip_id"]), reverse=True), list(reversed(table["row_id"]))
    return {
        "audio": rng.standard_normal((5, 6)),
        "audio_ids": np.array([*clips, "spare"]),
        "captions": rng.standard_normal((9, 6)).astype(np.float16),
        "caption_ids": np.array(["spare", *rows]),
    }


@pytest.fixture
def files(table, vectors, tmp_path):
    """Writes arrays and rows, changed as a test wants them; returns both paths."""

    def write(change_arrays=lambda arrays: arrays, change_rows=lambda rows: rows, columns=COLUMNS):
        np.savez(tmp_path / "arrays.npz", **change_arrays(dict(vectors)))
        rows = [
            {
                **{name: row[name] for name in ("row_id", "clip_id", "source", "split", "caption")},
                "file_name": row["audio"]["path"].rsplit("/", 1)[1],
                "offset": "",
                "duration": "",
            }
            for row in table.to_list()
        ]
        with open(tmp_path / "rows.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(change_rows(rows))
        return tmp_path / "arrays.npz", tmp_path / "rows.csv"

    return write


def imported(files, tmp_path, **changes):
    arrays, rows = files(**changes)
    return import_bank(tmp_path / "bank", arrays, read_rows(rows), model_name="theirs")


def unit(vector) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    return vector / np.linalg.norm(vector)


def test_every_row_finds_its_own_vectors_at_unit_length(files, vectors, table, tmp_path):
    bank, unused = imported(files, tmp_path)
    assert unused == {"audio": 1, "captions": 1}
    assert (bank.model_name, bank.width, bank.rows.num_rows, len(bank.audio)) == ("theirs", 6, 8, 4)
    mixed = table.select([5, 0, 7, 2])
    teachers = AlignedTeachers.align([TeacherBank.load(tmp_path / "bank")], None, mixed)
    audio = dict(zip(vectors["audio_ids"], vectors["audio"], strict=True))
    captions = dict(zip(vectors["caption_ids"], vectors["captions"], strict=True))
    for place, row in enumerate(mixed.to_list()):
        np.testing.assert_allclose(teachers.audio_vectors(place), unit(audio[row["clip_id"]]), atol=1e-6)
        np.testing.assert_allclose(teachers.caption_vectors(place), unit(captions[row["row_id"]]), atol=1e-6)


def test_the_fingerprint_is_of_ids_and_vectors_and_not_of_their_order(files, tmp_path):
    first = imported(files, tmp_path)[0].fingerprint

    def turned(arrays):
        return {name: array[::-1] for name, array in arrays.items()}

    def double(arrays):
        return arrays | {"audio": 2 * arrays["audio"]}  # an exact factor: the same directions

    def moved(arrays):
        return arrays | {"captions": np.roll(arrays["captions"], 1, axis=0)}

    assert imported(files, tmp_path, change_arrays=turned)[0].fingerprint == first
    assert imported(files, tmp_path, change_arrays=double)[0].fingerprint == first
    assert imported(files, tmp_path, change_arrays=moved)[0].fingerprint != first


def test_ids_of_their_own_numbers_and_bytes(files, vectors, table, tmp_path):
    """audio_id and caption_id point at the arrays' ids; equal captions may share a vector."""

    def renamed(arrays):
        ids = {"audio_ids": np.arange(100, 105), "caption_ids": np.array([b"c%d" % n for n in range(9)])}
        return arrays | ids

    def pointing(rows):
        clips = sorted({row["clip_id"] for row in rows})
        for number, row in enumerate(rows):
            row |= {"audio_id": str(100 + clips.index(row["clip_id"])), "caption_id": f"c{number}"}
        rows[3] |= {"caption": rows[0]["caption"], "caption_id": "c0"}
        return rows

    columns = [*COLUMNS, "audio_id", "caption_id"]
    bank, unused = imported(files, tmp_path, change_arrays=renamed, change_rows=pointing, columns=columns)
    assert unused == {"audio": 1, "captions": 2}
    np.testing.assert_allclose(bank.audio[0], unit(vectors["audio"][0]), atol=1e-6)
    np.testing.assert_allclose(bank.captions[3], unit(vectors["captions"][0]), atol=1e-6)


def test_excerpts_of_one_file_are_told_apart(files, table, tmp_path):
    def excerpts(rows):
        for row in rows:
            row |= {"file_name": "long.wav", "offset": "1.5", "duration": "2"}
        return rows

    bank, _ = imported(files, tmp_path, change_rows=excerpts)
    path = str(write_sound(tmp_path / "long.wav", 4.0))
    there = {"path": path, "offset": 1.5, "duration": 2.0}

    def cut(**audio):
        return table.map(lambda row: {"audio": there | audio}, features=table.features)

    assert len(AlignedTeachers.align([bank], None, cut())) == 8
    with pytest.raises(BankError, match="was made from other data"):
        AlignedTeachers.align([bank], None, cut(offset=1.0))


def test_the_command_takes_a_csv_file_or_the_data_set_itself(files, sounds, vectors, tmp_path):
    arrays, rows = files()

    def embed(*arguments, code=0):
        done = CliRunner().invoke(app, ["embed", "--from", str(arrays), *map(str, arguments)])
        assert done.exit_code == code, done.output
        return done

    done = embed("--rows", rows, "--out", tmp_path / "a", "--model-name", "their model")
    assert "sounds train: 8 rows of 4 clips\ndimensions 6" in done.stdout
    assert "1 vectors of audio belong to no row" in done.stderr
    embed("--rows", sounds, "--split", "train", "--out", tmp_path / "b", "--no-progress")
    a, b = (TeacherBank.load(tmp_path / name) for name in "ab")
    assert (a.model_name, b.model_name) == ("their model", "arrays.npz")
    assert a.fingerprint == b.fingerprint and a.rows.equals(b.rows)
    assert np.array_equal(a.audio, b.audio) and np.array_equal(a.captions, b.captions)
    missing = embed("--rows", sounds, "--out", tmp_path / "c", "--no-progress", code=2)
    assert "row 'sounds/test/test_004.wav#0': no vector in audio of" in missing.stderr
    assert "(4 of 12 rows have none; an id there is" in missing.stderr and not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "r.csv", "--out", "x"], "need --from ARRAYS.npz, --rows ROWS.csv and --out DIR"),
        (["--from", "a.npz", "--out", "x"], "need --from ARRAYS.npz, --rows ROWS.csv and --out DIR"),
        (["--from", "a.npz", "--rows", "r.csv"], "need --from ARRAYS.npz, --rows ROWS.csv and --out DIR"),
        (["model", "--from", "a.npz", "--rows", "r.csv", "--out", "x"], "takes neither MODEL nor DATASET"),
        (["--from", "a.npz", "--rows", "r.csv", "--out", "x", "--split", "s"], "--split needs a dataset"),
        (["--from", "a.npz", "--rows", "r.csv", "--out", "x"], "r.csv: cannot be read (No such file"),
        (["--out", "x"], "give MODEL and DATASET, or --from"),
        (["model", "--out", "x"], "give MODEL and DATASET, or --from"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["embed", *arguments])
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1


def without(name):
    return lambda arrays: {key: value for key, value in arrays.items() if key != name}


def put(name, place, value):
    def change(arrays):
        array = arrays[name].astype(object if isinstance(value, str) else arrays[name].dtype)
        array[place] = value
        return arrays | {name: array.astype(str) if isinstance(value, str) else array}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("caption_ids"), r"lacks the arrays \['caption_ids'\]; it contains"),
        (lambda a: a | {"audio": a["audio"][0]}, r"audio is float64 \(6,\), but must be floating-point"),
        (lambda a: a | {"audio": a["audio"].astype(int)}, "audio is int64"),
        (lambda a: a | {"audio": a["audio"][:0], "audio_ids": a["audio_ids"][:0]}, r"audio is .* \(0, 6\)"),
        (lambda a: a | {"audio": a["audio"][:, :4]}, "audio have 4 numbers, those in captions 6"),
        (lambda a: a | {"audio_ids": a["audio_ids"][:4]}, r"audio_ids is <U\d+ \(4,\), but must be .*\(5,\)"),
        (lambda a: a | {"caption_ids": np.arange(9.0)}, "caption_ids is float64"),
        (lambda a: a | {"caption_ids": a["caption_ids"].astype(object)}, "cannot be read as an .npz file"),
        (put("audio_ids", 1, "spare"), "audio_ids: 'spare' occurs twice, at 1 and 4"),
        (put("caption_ids", 2, ""), "caption_ids: id 2 is empty"),
        (put("audio", 4, 0.0), r"audio: the vector of 'spare' is zero \(1 of them\)"),
        (put("captions", (0, 3), np.nan), "captions: the vector of 'spare' has numbers that are not finite"),
        (put("audio", (4, 0), np.inf), "audio: the vector of 'spare' has numbers that are not finite"),
        (
            put("audio_ids", 0, "other"),
            r"rows.csv, line \d: no vector in audio of .* \(2 of 8 rows have none",
        ),
        (put("caption_ids", 8, "other"), "rows.csv, line 2: no vector in captions of"),
    ],
)
def test_arrays_that_are_refused(files, tmp_path, change, message):
    with pytest.raises(BankError, match=message):
        imported(files, tmp_path, change_arrays=change)
    assert not (tmp_path / "bank").exists()


def edited(place, **values):
    def change(rows):
        rows[place] |= values
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "contains no rows"),
        (lambda rows: [*rows, rows[2]], "row '.*' of 'sounds', split 'train', occurs twice"),
        (edited(1, caption=" "), "line 3: caption is empty"),
        (edited(0, file_name=""), "line 2: file_name is empty"),
        (edited(0, offset="-1"), "line 2: offset is '-1', but must be seconds, 0 or more"),
        (edited(0, duration="0"), "line 2: duration is '0', but must be seconds, above 0"),
        (edited(0, duration="long"), "line 2: duration is 'long'"),
        (
            edited(1, file_name="b.wav"),
            "line 3: clip '.*' has another file, offset, duration or vector than in",
        ),
        (edited(1, offset="0.5"), "line 3: clip '.*' has another file, offset"),
    ],
)
def test_rows_that_are_refused(files, tmp_path, change, message):
    with pytest.raises(BankError, match=message):
        imported(files, tmp_path, change_rows=change)
    assert not (tmp_path / "bank").exists()


def test_one_caption_vector_is_of_one_caption(files, tmp_path):
    columns = [*COLUMNS, "caption_id"]
    with pytest.raises(
        BankError, match="line 4: the caption vector 'spare' is that of another caption in .*line 2"
    ):
        imported(
            files,
            tmp_path,
            change_rows=lambda rows: edited(2, caption_id="spare")(edited(0, caption_id="spare")(rows)),
            columns=columns,
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"row_id,clip_id,source,split,caption\n", r"lacks the columns \['file_name'\]"),
        (b"row_id,clip_id,source,split,caption,file_name,caption\n", r"has the columns \['caption'\] more"),
        (b"row_id,clip_id,source,split,caption,file_name\na,b\n", "line 2: has another number of cells"),
        (b"row_id,clip_id,source,split,caption,file_name\na,b,c,d,e,f,g\n", "line 2: has another number"),
        (b"row_id,clip_id,source,split,caption,file_name\n\xff,b,c,d,e,f\n", "is not a CSV file in UTF-8"),
    ],
)
def test_csv_files_that_are_refused(tmp_path, text, message):
    (tmp_path / "rows.csv").write_bytes(text)
    with pytest.raises(BankError, match=message):
        read_rows(tmp_path / "rows.csv")


def test_files_that_are_no_archive_of_arrays(tmp_path):
    with pytest.raises(BankError, match="a.npz: no such file"):
        read_arrays(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(BankError, match="a.npz: not an .npz file; expected one of np.savez"):
        read_arrays(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    with pytest.raises(BankError, match="a.npy: not an .npz file"):
        read_arrays(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as archive:
        for name in ("audio", "audio_ids", "captions", "caption_ids"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(BankError, match="cut.npz: cannot be read"):
        read_arrays(tmp_path / "cut.npz")


def test_only_banks_are_replaced(files, tmp_path):
    imported(files, tmp_path)
    imported(files, tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    arrays, rows = files()
    with pytest.raises(BankError, match="not empty and not a teacher bank"):
        import_bank(tmp_path / "other", arrays, read_rows(rows), model_name="x")
