"""--trust-remote-code, --window, --precision and --dims: what they do, what is recorded, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from encoder_cases import save_auricle_matryoshka
from public_models import save_clap, save_pe_audio, save_remote_clap
from tiny_models import write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders import load_encoder
from auricle.search.sound_index import SoundIndex
from auricle.search.store.index_store import Store

pytest.importorskip("lancedb")

SENTENCE = "a dog barks while rain falls"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models (a CLAP, one of its own code, an Auricle model with Matryoshka widths), sounds and a captioned folder."""
    root = tmp_path_factory.mktemp("options")
    for name, save in (
        ("clap", save_clap),
        ("remote", save_remote_clap),
        ("auricle", save_auricle_matryoshka),
    ):
        (root / name).mkdir()
        save(root / name)
    for number, seconds in enumerate((1.0, 12.0, 2.5)):
        write_sound(root / "sounds" / f"{number}.wav", seconds, seed=number)
    write_captioned_folder(root / "captioned", {"test": 4})
    return root


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """The models and sounds by short names, in an empty folder."""
    for name in ("clap", "remote", "auricle", "sounds", "captioned"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_half_precision(monkeypatch):
    """A processor without bfloat16, whatever this one is."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})


@pytest.fixture
def claimed_half_precision(monkeypatch):
    """A processor that says that it has bfloat16. Where it has not, torch computes it by way of float32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


def run(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


def refused(*arguments):
    """The one line that a command ends with."""
    lines = run(*arguments, code=2).stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def index(*options, model="clap", name="index"):
    return run("index", "sounds", "--model", model, "--index", name, "--no-progress", *options)


def settings(name="index"):
    return json.loads(open(f"{name}/index.json").read())["settings"]


# ------------------------------------------------------------------------------------- remote code


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "sounds", "--model", "remote", "--index", "out", "--no-progress"),
        ("embed", "remote", "captioned", "--out", "out", "--no-progress"),
        ("embed", "remote", "sounds", "out.parquet", "--no-progress"),
        ("evaluate", "remote", "captioned", "--no-progress", "--json", "out"),
        ("ask", "remote", "sounds", SENTENCE, "--no-progress"),
        ("ensemble", "captioned", "--member", "a=remote", "--member", "b=clap", "--out", "out",
         "--method", "uniform", "--validation", "test", "--no-progress"),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_code_of_a_repository_is_refused_with_the_option_that_allows_it(here, arguments):
    line = refused(*arguments)
    assert "remote: needs Python code from its repository" in line and "--trust-remote-code" in line
    assert not (here / "out").exists() and not (here / "out.parquet").exists()


def test_an_index_asks_for_the_permission_each_time(here):
    index("--trust-remote-code", model="remote")
    assert settings()["remote_code"] is True
    for command in (
        ("search", SENTENCE),
        ("similar", "sounds/0.wav", "--start", "0.2"),
        ("moments", "sounds/1.wav", SENTENCE),
    ):
        line = refused(*command, "--index", "index")
        assert "index: its model" in line and "give --trust-remote-code" in line
        hits = json.loads(run(*command, "--index", "index", "--trust-remote-code", "--json").stdout)
        assert hits
    # What needs no model needs no permission.
    assert json.loads(run("similar", "sounds/0.wav", "--index", "index", "--json").stdout)
    assert "3 unchanged" in run("index", "sounds", "--index", "index", "--no-progress").stdout


def test_with_the_permission_the_vectors_are_those_of_the_library(here):
    index("--trust-remote-code", model="remote")
    index(name="plain")
    stores = [Store(name) for name in ("index", "plain")]
    for path in stores[0].files():
        ours, plain = (store.entry(path).vectors.astype(np.float32) for store in stores)
        assert np.abs(ours - plain).max() <= 2e-3


def test_where_no_code_is_needed_the_permission_changes_nothing(here):
    index("--trust-remote-code")
    assert "remote_code" not in settings()
    run("search", SENTENCE, "--index", "index")


def test_the_other_commands_take_the_permission(here):
    trust = ("--trust-remote-code", "--no-progress")
    run("embed", "remote", "captioned", "--out", "bank", *trust)
    assert json.loads((here / "bank/bank.json").read_text())["encoder"]["remote_code"] is True
    run("evaluate", "remote", "captioned", "--resamples", 5, *trust)
    run("ask", "remote", "sounds", SENTENCE, *trust)
    members = ("--member", "a=remote", "--member", "b=clap", "--method", "uniform", "--validation", "test")
    run("ensemble", "captioned", *members, "--out", "both.json", *trust)
    assert "--trust-remote-code" in refused("evaluate", "both.json", "captioned", "--no-progress")
    run("evaluate", "both.json", "captioned", "--resamples", 5, *trust)


def test_compare_goes_on_behind_a_model_that_is_not_trusted(here):
    compare = ("compare", "clap", "remote", "--on", "captioned", "--speed-clips", 0, "--json", "c.json",
               "--no-progress", "--resamples", 5)  # fmt: skip
    run(*compare, code=1)
    faults = [system["error"] for system in json.loads((here / "c.json").read_text())["systems"]]
    assert faults[0] is None and "--trust-remote-code" in faults[1]
    run(*compare, "--trust-remote-code")


def test_clusters_take_the_permission_from_the_command_and_teachers_from_a_bank(here):
    from auricle.training.teachers.teacher_bank import BankError, load_teacher

    pytest.importorskip("sklearn")
    cluster = ("cluster", "captioned", "--embed-with", "remote", "--out", "out", "--split", "test",
               "--method", "kmeans", "--num-clusters", 2, "--no-progress")  # fmt: skip
    assert "--trust-remote-code" in refused(*cluster) and not (here / "out").exists()
    run(*cluster, "--trust-remote-code")
    with pytest.raises(BankError, match="auricle embed remote DATASET --out DIR --trust-remote-code"):
        load_teacher("remote")


def test_without_progress_no_bar_is_shown(here):
    """Also where another library has loaded the Hub's client before the bars are switched off."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "auricle",
            "evaluate",
            "clap",
            "captioned",
            "--no-progress",
            "--resamples",
            "5",
        ],
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stderr == ""


# ------------------------------------------------------------------------------------------ window


def test_a_window_of_ones_own_is_recorded_and_used(here):
    done = index("--window", 5)
    # 1 s, 12 s and 2.5 s.
    assert "3 added" in done.stdout and "5 windows embedded" in done.stdout
    assert settings()["window_seconds"] == 5.0
    assert json.loads((here / "index/index.json").read_text())["window_seconds"] == 5.0
    encoder = load_encoder("clap", device="cpu", window_seconds=5.0)
    entry = Store("index").entry(str((here / "sounds/1.wav").absolute()))
    expected, _ = encoder.embed_clips(["sounds/1.wav"])
    assert list(entry.ends) == [5.0, 10.0, 12.0]
    assert np.abs(entry.vector.astype(np.float32) - expected[0]).max() <= 1e-3
    # Without the option the index goes on with its own window, also when the model is named again.
    write_sound(here / "more/new.wav", 6.0)
    assert "2 windows embedded" in run("index", "more", "--index", "index", "--no-progress").stdout
    assert "3 unchanged" in index().stdout
    run("search", SENTENCE, "--index", "index")


@pytest.mark.parametrize("model", [(), ("--model", "clap")])
def test_another_window_needs_another_index(here, model):
    index()
    line = refused("index", "sounds", *model, "--index", "index", "--window", 5)
    assert "made with windows of 10 s, not windows of 5 s" in line and "name another --index" in line
    # The window that it has is no other one, and an index made before windows could be chosen has the model's own.
    assert "3 unchanged" in run("index", "sounds", *model, "--index", "index", "--window", 10).stdout
    assert "window_seconds" not in settings()


@pytest.mark.parametrize(
    ("model", "window", "range_"),
    [
        ("clap", "10.5", "windows from 0.1 to 10 s"),
        ("clap", "0.05", "windows from 0.1 to 10 s"),
        ("clap", "nan", "windows from 0.1 to 10 s"),
        ("auricle", "3", "this model's windows last 1 s"),
    ],
)
def test_a_window_that_the_model_does_not_take(here, model, window, range_):
    told = f"{model}: a window of {window} s is not accepted; "
    for arguments in (
        ("index", "sounds", "--model", model, "--index", "out"),
        ("embed", model, "captioned", "--out", "out"),
        ("evaluate", model, "captioned"),
    ):
        line = refused(*arguments, "--window", window, "--no-progress")
        assert told in line and range_ in line
    assert not (here / "out").exists()


def test_a_hop_above_the_window_is_refused(here):
    line = refused("index", "sounds", "--model", "clap", "--index", "out", "--window", 2, "--hop", 5)
    assert "hop 5 s: must be above 0 and at most a window, 2 s" in line


# --------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    ("precision", "reason"),
    [("bf16", "bf16 needs a processor with avx512_bf16 or amx_bf16"), ("float16", "float16 is for GPUs")],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_precision_that_the_processor_lacks(here, no_half_precision, precision, reason):
    for arguments in (
        ("index", "sounds", "--model", "auricle", "--index", "out"),
        ("embed", "clap", "captioned", "--out", "out"),
        ("evaluate", "auricle", "captioned"),
        ("ask", "clap", "sounds", SENTENCE),
    ):
        line = refused(*arguments, "--precision", precision, "--no-progress")
        assert reason in line and "take float32" in line
    assert not (here / "out").exists()


@pytest.mark.parametrize("model", ["auricle", "clap"])
def test_an_index_in_half_precision(here, claimed_half_precision, monkeypatch, model):
    index("--precision", "bf16", model=model)
    assert settings()["precision"] == "bfloat16"
    half = load_encoder(model, device="cpu", precision="bfloat16", emulate_precision=True)
    whole = load_encoder(model, device="cpu")
    clip = str((here / "sounds/0.wav").absolute())
    entry = Store("index").entry(clip)
    vectors = [encoder.embed_clips([clip])[0][0] for encoder in (half, whole)]
    assert np.array_equal(entry.vector, vectors[0].astype(np.float16))
    assert not np.array_equal(entry.vector, vectors[1].astype(np.float16))
    # The index goes on in its precision, and never in another one.
    assert "3 unchanged" in index(model=model).stdout
    hits = json.loads(
        run("search", SENTENCE, "--index", "index", "--template", "{}", "--rank", "clip", "--json").stdout
    )
    query = half.embed_texts([SENTENCE])[0]
    score = next(hit["score"] for hit in hits if hit["path"] == clip)
    assert score == pytest.approx(float(vectors[0] @ query), abs=1e-3)
    line = refused("index", "sounds", "--index", "index", "--precision", "float32")
    assert "made with precision bfloat16, not precision float32" in line
    # On another machine.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    line = refused("search", SENTENCE, "--index", "index")
    assert "index: was made in bfloat16, and bf16 needs a processor" in line
    assert "--model" not in line and "make an index in float32" in line


def test_precisions_that_are_none_or_that_an_index_cannot_have(here):
    line = refused("index", "sounds", "--model", "auricle", "--index", "out", "--precision", "int4")
    assert "precision 'int4': an index takes float32, bf16, float16 or int8" in line
    line = refused("index", "sounds", "--model", "clap", "--index", "out", "--precision", "int8")
    assert "precision 'int8' is not one of float32, bfloat16, float16, which a CLAP model has" in line
    line = refused("embed", "clap", "captioned", "--out", "out", "--precision", "half")
    assert "precision 'half' is not one of float32, bfloat16, float16" in line
    line = refused("ask", "auricle", "sounds", SENTENCE, "--int8", "--precision", "bf16")
    assert "--int8 and --precision cannot be combined" in line


def test_a_bank_records_how_it_was_made(here, claimed_half_precision):
    from auricle.training.teachers.teacher_bank import TeacherBank

    run("embed", "clap", "captioned", "--out", "bank", "--precision", "bf16", "--window", 4, "--no-progress")
    bank = TeacherBank.load("bank")
    assert bank.encoder == {
        "revision": None,
        "precision": "bfloat16",
        "engine": "torch",
        "window_seconds": 4.0,
        "embedding_dim": 32,
        "remote_code": False,
    } | {"embedding_dim": bank.width}
    options = {"precision": "bfloat16", "window_seconds": 4.0, "emulate_precision": True}
    assert bank.fingerprint == load_encoder("clap", device="cpu", **options).fingerprint
    # A bank of an earlier version says nothing of it.
    told = json.loads((here / "bank/bank.json").read_text())
    del told["encoder"]
    (here / "bank/bank.json").write_text(json.dumps(told))
    assert TeacherBank.load("bank").encoder == {}


# ------------------------------------------------------------------------------------------ engine


def test_the_engine_is_recorded_and_another_one_may_ask(here):
    from auricle.encoders.engines.packed_linear import lack_of_packing

    if lack_of_packing():
        pytest.skip(lack_of_packing())
    index("--engine", "packed", model="auricle")
    assert settings()["engine"] == "packed"
    asked = [
        json.loads(run("search", SENTENCE, "--index", "index", "--json", *options).stdout)
        for options in ((), ("--engine", "torch"), ("--engine", "auto"))
    ]
    for other in asked[1:]:
        assert [hit["path"] for hit in other] == [hit["path"] for hit in asked[0]]
        assert np.allclose([hit["score"] for hit in other], [hit["score"] for hit in asked[0]], atol=2e-5)
    # By default the engine is what is fastest; here the environment says so.
    index(model="auricle", name="plain")
    assert "engine" not in settings("plain")


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "sounds", "--model", "pe", "--index", "out"),
        ("ask", "pe", "sounds", SENTENCE),
        ("evaluate", "pe", "captioned", "--split", "test"),
        ("embed", "pe", "captioned", "--out", "out"),
    ],
)
def test_an_engine_that_the_model_lacks_is_refused_by_every_command(here, arguments):
    save_pe_audio(here / "pe")
    assert "engine onnx: models of this kind have torch, packed" in refused(*arguments, "--engine", "onnx")
    assert not (here / "out").exists()


def test_ask_in_int8_is_ask_with_its_precision(here):
    small = [
        run("ask", "auricle", "sounds", SENTENCE, "--json", *how).stdout
        for how in (["--int8"], ["--precision", "int8"])
    ]
    assert small[0] == small[1] != run("ask", "auricle", "sounds", SENTENCE, "--json").stdout


# -------------------------------------------------------------------------------------------- dims


def test_an_index_of_prefixes(here):
    index("--dims", 4, model="auricle")
    assert settings()["truncate_dim"] == 4
    whole = load_encoder("auricle", device="cpu")
    clip = str((here / "sounds/1.wav").absolute())
    rows = [whole.embed_clips([clip])[0][0][:4], whole.embed_texts([SENTENCE])[0][:4]]
    sound, query = (row / np.linalg.norm(row) for row in rows)
    entry = Store("index").entry(clip)
    assert entry.vectors.shape[1] == 4 and np.abs(entry.vector.astype(np.float32) - sound).max() <= 1e-3
    ask = ("search", SENTENCE, "--index", "index", "--template", "{}", "--rank", "clip", "--json")
    score = next(hit["score"] for hit in json.loads(run(*ask).stdout) if hit["path"] == clip)
    assert score == pytest.approx(float(sound @ query), abs=2e-3)
    assert "3 unchanged" in index(model="auricle").stdout
    assert "3 unchanged" in run("index", "sounds", "--index", "index", "--dims", 4).stdout
    for more in ((), ("--model", "auricle")):
        line = refused("index", "sounds", *more, "--index", "index", "--dims", 8)
        assert "made with vectors of 4 dimensions, not vectors of 8 dimensions" in line


@pytest.mark.slow
def test_an_exported_text_tower_is_cut_like_the_index(here):
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    index("--dims", 4, model="auricle")
    run("export", "auricle", "tower", "--towers", "text")
    ask = ("search", SENTENCE, "--index", "index", "--json")
    expected = [(hit["path"], hit["score"]) for hit in json.loads(run(*ask).stdout)]
    hits = json.loads(run(*ask, "--text-tower", "tower").stdout)
    assert [hit["path"] for hit in hits] == [path for path, _ in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-4)


@pytest.mark.parametrize(
    ("model", "dims", "told"),
    [
        ("auricle", 5, "cannot be cut to 5 dimensions; accepted are 12, 8, 4"),
        ("auricle", 0, "cannot be cut to 0 dimensions; accepted are 12, 8, 4"),
        ("clap", 16, "names no Matryoshka dimensions, so only its own"),
    ],
)
def test_widths_that_the_model_does_not_name(here, model, dims, told):
    for arguments in (
        ("index", "sounds", "--model", model, "--index", "out"),
        ("embed", model, "captioned", "--out", "out"),
        ("evaluate", model, "captioned"),
    ):
        assert told in refused(*arguments, "--dims", dims, "--no-progress")
    assert not (here / "out").exists()


def test_evaluate_measures_what_a_width_costs(here):
    from auricle.data import load_captioned_folder
    from auricle.evaluation.retrieval import evaluate_retrieval

    run("evaluate", "auricle", "captioned", "--dims", 4, "--against", "auricle", "--resamples", 5,
        "--json", "r.json", "--no-progress")  # fmt: skip
    report = json.loads((here / "r.json").read_text())
    table = load_captioned_folder("captioned", split="test")
    expected, _ = evaluate_retrieval(load_encoder("auricle", device="cpu", truncate_dim=4), table)
    found = report["single"]["text_to_audio"]["metrics"]["mAP@16"]["value"]
    assert found == pytest.approx(expected["text_to_audio_mAP@16"])


def test_settings_of_a_model_are_none_of_similarities(here):
    run("evaluate", "clap", "captioned", "--save", "saved", "--resamples", 5, "--no-progress")
    line = refused("evaluate", "saved", "captioned", "--window", 5, "--no-progress")
    assert "saved: --window, --precision, --dims and --engine apply to a model, and this is not one" in line


def test_settings_remain_when_an_index_is_opened_from_python(here):
    index("--dims", 8, model="auricle")
    assert len(SoundIndex("index").search(SENTENCE)) == 3
