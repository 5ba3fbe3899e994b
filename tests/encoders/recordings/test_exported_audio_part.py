"""The exported audio tower alone: the vectors of the whole model, a faster start, and when the whole one is loaded."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from encoder_cases import save_auricle, save_auricle_beats
from safetensors.torch import load_file, save_file
from sound_libraries import library

from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.engines import known_fingerprints
from auricle.encoders.engines.export_cache import GRAPH, export_directory
from auricle.encoders.engines.known_fingerprints import remember_fingerprint
from auricle.encoders.recordings.exported_audio_part import ExportedAudioPart, load_sound_encoder
from auricle.encoders.recordings.recording_windows import embed_files
from auricle.search.errors import SearchError
from auricle.search.index_creation import loader_by_engine
from auricle.search.index_encoder import IndexEncoder
from auricle.search.sound_index import SoundIndex

for name in ("onnx", "onnxruntime", "onnxscript", "lancedb"):
    pytest.importorskip(name)


@pytest.fixture(scope="module", params=["passt", pytest.param("beats", marks=pytest.mark.slow)])
def model(request, tmp_path_factory):
    """A saved model, its exported towers, and its known fingerprint."""
    root = tmp_path_factory.mktemp(request.param)
    directory = root / "model"
    {"passt": save_auricle, "beats": save_auricle_beats}[request.param](directory)
    weights = load_file(directory / "model.safetensors")
    # A new model's is zero.
    weights["audio_projection.bias"].normal_(generator=torch.Generator().manual_seed(1))
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    for path in directory.iterdir():
        os.utime(path, (1e9, 1e9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(root / "cache"))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        # Files written within the last two seconds are not trusted.
        patch.setattr("auricle.encoders.engines.known_fingerprints._SETTLED_SECONDS", 0.0)
        encoder = load_encoder(directory, engine="onnx")
        remember_fingerprint(directory, encoder.loaded_files, encoder.fingerprint)
        yield directory, encoder


def test_it_gives_the_whole_models_vectors_bit_by_bit(model, tmp_path):
    directory, whole = model
    part = load_sound_encoder(directory, whole.fingerprint)
    assert isinstance(part, ExportedAudioPart)
    names = ("fingerprint", "precision", "engine", "sampling_rate", "window_seconds", "embedding_dim")
    names += ("window_samples", "min_tail_samples", "min_tail_seconds")
    assert [getattr(part, name) for name in names] == [getattr(whole, name) for name in names]
    paths = [str(path) for path in sorted(library(tmp_path / "sounds", 4).rglob("*.wav"))]
    hop = whole.window_seconds / 2
    for (path, one), (_, other) in zip(
        embed_files(part, paths, hop_seconds=hop), embed_files(whole, paths, hop_seconds=hop), strict=True
    ):
        assert (one.vectors == other.vectors).all() and (one.vector == other.vector).all(), path
        assert np.abs(np.linalg.norm(one.vectors, axis=1) - 1).max() < 1e-6


def test_it_has_no_sentences(model):
    directory, whole = model
    part = load_sound_encoder(directory, whole.fingerprint)
    for call in (part.embed_texts, part.prepare_texts):
        with pytest.raises(EncoderError, match="only the audio tower was loaded"):
            call(["rain"])


def test_the_whole_model_is_loaded_if_anything_differs(model, monkeypatch, tmp_path):
    directory, whole = model
    assert load_sound_encoder(directory, "0" * 64) is None
    assert load_sound_encoder(tmp_path, whole.fingerprint) is None
    load = loader_by_engine(None).for_sounds
    assert load(str(directory), whole.fingerprint, "torch") is None
    assert loader_by_engine("torch").for_sounds(str(directory), whole.fingerprint, "onnx") is None
    assert load(str(directory), whole.fingerprint, "onnx") is not None
    assert loader_by_engine("onnx", 2).for_sounds(str(directory), whole.fingerprint, "torch").workers == 2
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert load_sound_encoder(directory, whole.fingerprint) is None
    monkeypatch.undo()
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "empty"))
    assert load_sound_encoder(directory, whole.fingerprint) is None


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "model.safetensors"])
def test_a_changed_file_of_the_model_is_noticed(model, name):
    directory, whole = model
    assert load_sound_encoder(directory, whole.fingerprint) is not None
    path = directory / name
    state, content = path.stat(), path.read_bytes()
    try:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert load_sound_encoder(directory, whole.fingerprint) is None
    finally:
        files = known_fingerprints.files_of(directory)
        remember_fingerprint(directory, files, whole.fingerprint)
    assert load_sound_encoder(directory, whole.fingerprint) is not None


@pytest.mark.parametrize(
    ("settings", "loader", "taken"),
    [
        ({"engine": "onnx"}, {}, True),
        ({"engine": "torch"}, {}, False),
        ({"engine": "torch"}, {"engine": "onnx"}, True),
        ({"engine": "onnx"}, {"engine": "torch"}, False),
        ({"engine": "onnx"}, {"engine": None, "batch_size": 4}, False),
        ({"engine": "onnx", "truncate_dim": 8}, {}, False),
        ({"engine": "onnx", "precision": "int8"}, {}, False),
        ({"engine": "onnx", "remote_code": True}, {}, False),
    ],
)
def test_which_indexes_take_it(model, settings, loader, taken):
    directory, whole = model
    plain = {"precision": "float32", "truncate_dim": None, "window_seconds": None, "frames": None}
    plain |= {"revision": None, "remote_code": False, "clip_vector": "model"}
    record = {"model": str(directory), "fingerprint": whole.fingerprint, "settings": plain | settings}
    made = loader_by_engine(**{"engine": None, **loader})
    encoder = IndexEncoder("index", record, made)
    found = encoder._for_sounds()
    assert (found is not None) is taken
    moved = IndexEncoder("index", record, made, model=str(directory))
    assert moved._for_sounds() is None
    encoder.close()
    assert encoder._for_sounds() is None


def test_a_damaged_export_is_made_again(model, caplog):
    directory, whole = model
    graph = export_directory(whole.fingerprint, "audio") / GRAPH
    content = graph.read_bytes()
    graph.write_bytes(content[: len(content) // 2])
    assert load_sound_encoder(directory, whole.fingerprint) is None
    assert load_encoder(directory, engine="onnx").engine == "onnx"
    assert "ONNX Runtime cannot load it" in caplog.text and "exported again" in caplog.text
    assert load_sound_encoder(directory, whole.fingerprint) is not None


def test_without_a_place_for_the_export_another_engine_computes(model, monkeypatch, caplog):
    """The index only records the engine; if it is asked for, it is refused."""
    directory, whole = model
    plain = {"precision": "float32", "truncate_dim": None, "window_seconds": None, "frames": None}
    plain |= {"revision": None, "remote_code": False, "engine": "onnx"}
    record = {"model": str(directory), "fingerprint": whole.fingerprint, "settings": plain, "version": 9}
    monkeypatch.setenv("AURICLE_CACHE", "/proc/nothing")
    assert IndexEncoder("index", record, loader_by_engine(None)).encoder.engine == "torch"
    assert "its export cannot be kept in" in caplog.text and "The engine is now torch" in caplog.text
    with pytest.raises(SearchError, match="its export cannot be kept in"):
        _ = IndexEncoder("index", record, loader_by_engine("onnx")).encoder


def test_an_update_imports_no_model_classes(model, tmp_path):
    directory, _ = model
    sounds, index = library(tmp_path / "sounds", 3), tmp_path / "index"
    program = (
        "import json, sys\n"
        "from auricle.encoders.engines import known_fingerprints\n"
        "known_fingerprints._SETTLED_SECONDS = 0.0\n"
        "from auricle.cli import main\n"
        "main.leave_at_once = sys.exit\n"
        "try:\n    main.main()\n"
        "finally:\n    print(json.dumps([name for name in ('torch', 'transformers.modeling_utils', 'lancedb') "
        "if name in sys.modules]))"
    )

    def update(*options):
        command = [sys.executable, "-c", program, "index", str(sounds), "--index", str(index), *options]
        done = subprocess.run([*command, "--no-progress"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    SoundIndex.create(index, str(directory)).update([sounds], progress=False)
    fresh = sorted(sounds.rglob("*.wav"))[0]
    shutil.copyfile(fresh, fresh.with_name("another.wav"))
    with fresh.with_name("another.wav").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    assert update("--engine", "onnx") == ["torch"]
    opened = SoundIndex(index)
    assert len(opened) == 4
    hits = opened.search("rain", top=4)
    scores = {os.path.basename(hit.path): hit.score for hit in hits}
    assert abs(scores["another.wav"] - scores[fresh.name]) < 1e-2


def test_a_known_fingerprint_is_not_computed_again(model, monkeypatch, tmp_path):
    directory, whole = model
    plain = {"precision": "float32", "truncate_dim": None, "window_seconds": None, "frames": None}
    plain |= {"revision": None, "remote_code": False, "engine": "torch"}
    record = {"model": str(directory), "fingerprint": whole.fingerprint, "settings": plain, "version": 9}
    computed, fingerprint = [], AuricleEncoder.fingerprint.fget
    monkeypatch.setattr(
        AuricleEncoder, "fingerprint", property(lambda self: (computed.append(1), fingerprint(self))[1])
    )
    encoder = IndexEncoder("index", record, loader_by_engine(None))
    loaded = encoder.encoder
    assert not computed
    files = loaded.loaded_files
    assert known_fingerprints.was_loaded_from(directory, files, whole.fingerprint)
    # Files that changed between the start of loading and now.
    changed = [[*files[0][:-1], "another inode"], *files[1:]]
    assert not known_fingerprints.was_loaded_from(directory, changed, whole.fingerprint)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    assert IndexEncoder("index", record, loader_by_engine(None)).encoder is not None
    assert computed
    other = {**record, "fingerprint": "0" * 64}
    with pytest.raises(SearchError, match="the weights or settings differ"):
        _ = IndexEncoder("index", other, loader_by_engine(None)).encoder


@pytest.mark.parametrize(("size", "advice"), [(4, "give a smaller --batch-size"), (None, "free some of it")])
def test_too_little_memory_of_a_gpu_is_one_line(model, monkeypatch, tmp_path, size, advice):
    directory, _ = model
    sounds = library(tmp_path / "sounds", 2)
    loader = loader_by_engine(None, batch_size=size)
    index = SoundIndex.create(tmp_path / "index", str(directory), loader=loader)

    def fail(self, waveforms, lengths):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AuricleEncoder, "pool_windows", fail)
    with pytest.raises(SearchError, match=f"too little free memory; {advice}"):
        index.update([sounds], progress=False)
