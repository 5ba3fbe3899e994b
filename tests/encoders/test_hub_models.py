"""Models of the Hub by id and revision, from a server on loopback, and one line about each that does not fit."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hub_server import TOKEN, Commit, Repo, hub_server
from public_models import save_clap, save_remote_clap, write_json
from public_sentence_transformers import save_two_towers
from safetensors.torch import load_file, save_file
from tiny_models import tiny_text_encoder_dir, write_sound

from auricle.encoders import load_encoder

# Answers one request a line, in a process of its own: the client reads its settings when it is imported.
WORKER = """
import json, os, sys
from auricle.encoders import EncoderError, load_encoder
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.pop("HF_TOKEN", None)
    if asked["token"]:
        os.environ["HF_TOKEN"] = asked["token"]
    try:
        encoder = load_encoder(asked["name"], device="cpu", **asked["options"])
        answer = {
            "name": encoder.name, "revision": encoder.revision, "license": encoder.license,
            "text": encoder.embed_texts(["rain"])[0].tolist(),
            "clip": encoder.embed_clips([asked["clip"]])[0][0].tolist(),
            "kind": type(encoder).__name__,
        }
    except EncoderError as error:
        answer = {"error": str(error)}
    print("ANSWER" + json.dumps(answer), flush=True)
"""


class Worker:
    """The client in a process of its own."""

    def __init__(self, url, home, clip, *, offline=False):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        more = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
        more |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        self.clip = str(clip)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            # Sums over several threads may differ in the last bit from process to process.
            [sys.executable, "-c", WORKER],
            env={**kept, **more, "OMP_NUM_THREADS": "1"},
            text=True,
            cwd=home,
            **pipes,
        )

    def load(self, name, token=None, **options):
        asked = {"name": name, "token": token, "options": options, "clip": self.clip}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER"):
                return json.loads(line.removeprefix("ANSWER"))
        raise AssertionError(f"{name}: the worker died")

    def error(self, name, **options):
        """The one line that loading ends with."""
        message = self.load(name, **options).get("error", "was loaded")
        assert len(message.splitlines()) == 1 and message.startswith(name.partition("@")[0])
        return message

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def publish(server, repo, *folders, **fields):
    """A repository with a commit a folder; "main" is the last one, "v1" the first. Returns the commits' hashes."""
    commits = [
        Commit(hashlib.sha1(f"{repo}{number}".encode()).hexdigest(), f"commit {number}", contents(folder))
        for number, folder in enumerate(folders)
    ]
    refs = {"main": commits[-1].oid, "v1": commits[0].oid}
    server.repos["models", repo] = Repo(
        fields.pop("private", False), {commit.oid: commit for commit in commits}, refs, **fields
    )
    return [commit.oid for commit in commits]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved models, whole and spoilt."""
    root = tmp_path_factory.mktemp("published")
    for name, seed in (("clap", 0), ("clap-2", 1)):
        (root / name).mkdir()
        save_clap(root / name, seed=seed)
    (root / "towers").mkdir()
    save_two_towers(root / "towers")
    for name in ("partial", "no-weights"):
        shutil.copytree(root / "clap", root / name)
    weights = load_file(root / "partial/model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "text_projection" not in name},
        root / "partial/model.safetensors",
        metadata={"format": "pt"},
    )
    (root / "no-weights/model.safetensors").unlink()
    (root / "remote").mkdir()
    save_remote_clap(root / "remote")
    write_json(
        root / "recogniser/config.json",
        {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]},
    )
    write_json(
        root / "image/config.json", {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    )
    tiny_text_encoder_dir(root / "text-only")
    kind = "sentence_transformers.base.modules.transformer.Transformer"
    write_json(root / "text-only/modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])
    write_sound(root / "clip.wav", 1.5, 48_000)
    return root


@pytest.fixture(scope="module")
def hub(folders, tmp_path_factory):
    """(server, hashes by repository, folder of the cache)."""
    with hub_server() as server:
        hashes = {
            "org/clap": publish(server, "org/clap", folders / "clap", folders / "clap-2"),
            "org/towers": publish(server, "org/towers", folders / "towers"),
        }
        publish(server, "org/gated", folders / "clap", gated=True)
        publish(server, "org/private", folders / "clap", private=True)
        for name in ("partial", "no-weights", "remote", "recogniser", "image", "text-only"):
            publish(server, f"org/{name}", folders / name)
        yield server, hashes, tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub, folders):
    server, _, home = hub
    worker = Worker(server.url, home, folders / "clip.wav")
    yield worker
    worker.close()


def here(folder, clip):
    """What a model gives that is loaded from its directory."""
    encoder = load_encoder(folder, device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return encoder.embed_texts(["rain"])[0].tolist(), encoder.embed_clips([str(clip)])[0][0].tolist()
    finally:
        torch.set_num_threads(threads)


def weights_asked_of(server, repo):
    return [path for _, path in server.requests if repo in path and "safetensors" in path]


def test_an_id_gives_the_newest_commit_and_a_revision_its_own(online, hub, folders):
    _, hashes, _ = hub
    first, second = hashes["org/clap"]
    newest = online.load("org/clap")
    assert (newest["name"], newest["revision"], newest["license"]) == ("org/clap", second, "apache-2.0")
    assert [newest["text"], newest["clip"]] == list(here(folders / "clap-2", folders / "clip.wav"))
    expected = list(here(folders / "clap", folders / "clip.wav"))
    for name, options in (("org/clap@v1", {}), (f"org/clap@{first}", {}), ("org/clap", {"revision": "v1"})):
        old = online.load(name, **options)
        assert (old["name"], old["revision"]) == ("org/clap", first)
        assert [old["text"], old["clip"]] == expected


def test_sentence_transformers_by_id(online, hub, folders):
    found = online.load("org/towers")
    assert found["kind"] == "SentenceTransformersEncoder" and found["revision"] == hub[1]["org/towers"][0]
    assert [found["text"], found["clip"]] == list(here(folders / "towers", folders / "clip.wav"))


@pytest.mark.parametrize(
    ("repo", "kind"),
    [
        ("org/recogniser", "contains a speech recogniser (model type 'whisper')"),
        ("org/image", "contains an image model (model type 'vit')"),
        ("org/text-only", "contains a sentence-transformers model that takes no audio (model type 'bert')"),
    ],
)
def test_another_kind_is_named_before_its_weights_are_fetched(online, hub, repo, kind):
    message = online.error(repo)
    assert kind in message and "accepted are Auricle models" in message and "CLAP" in message
    assert weights_asked_of(hub[0], repo) == []


def test_a_gated_repository_says_where_its_terms_are(online, hub):
    server = hub[0]
    message = online.error("org/gated")
    assert f"is gated. Accept its terms at {server.url}/org/gated" in message and "HF_TOKEN" in message
    assert online.load("org/gated", token=TOKEN)["kind"] == "ClapEncoder"


def test_a_repository_that_is_not_there_or_private(online):
    for repo in ("org/private", "org/nothing"):
        assert "the Hub has no such repository, or it is private and needs a token" in online.error(repo)
    assert online.load("org/private", token=TOKEN)["kind"] == "ClapEncoder"


def test_a_revision_that_is_not_there(online):
    for name, options in (("org/clap@v9", {}), ("org/clap", {"revision": "v9"})):
        assert "has no branch, tag or commit 'v9' on the Hub" in online.error(name, **options)
    assert "contains another revision" in online.load("org/clap@v1", revision="v2")["error"]


def test_code_of_a_repository_runs_only_if_it_is_trusted(online, hub, folders):
    message = online.error("org/remote")
    assert (
        "needs Python code from its repository (remote_clap.RemoteConfig, remote_clap.RemoteModel)" in message
    )
    assert "give --trust-remote-code (in Python trust_remote_code=True)" in message
    assert weights_asked_of(hub[0], "org/remote") == []
    found = online.load("org/remote", trust_remote_code=True)
    assert found["kind"] == "SentenceTransformersEncoder"
    expected = here(folders / "clap", folders / "clip.wav")
    assert np.allclose(found["text"], expected[0], atol=1e-6) and np.allclose(
        found["clip"], expected[1], atol=1e-6
    )


def test_missing_weights_are_no_model(online):
    message = online.error("org/partial")
    assert "4 tensors are missing" in message and "text_projection.linear1.bias" in message
    assert "weights cannot be loaded" in online.error("org/no-weights")


def test_a_missing_tensor_of_a_sentence_transformers_model(folders, tmp_path):
    shutil.copytree(folders / "towers", tmp_path / "towers")
    path = tmp_path / "towers/audio_0_Transformer/model.safetensors"
    weights = load_file(path)
    weights.pop("feature_projection.projection.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="1 tensors are missing .* feature_projection.projection.weight"):
        load_encoder(tmp_path / "towers")


def test_a_server_that_is_away_and_a_cache_that_is_there(online, hub):
    server, _, home = hub
    known = online.load("org/clap@v1")
    server.fault = lambda method, path: "cut"
    try:
        again = online.load("org/clap@v1")
        assert again == known
        message = online.error("org/never")
    finally:
        server.fault = lambda method, path: None
    assert f"is not in the cache ({home}" in message and f"{server.url} cannot be reached" in message
    assert "Ways out: connect this machine once" in message and "model's directory" in message


@pytest.mark.slow
def test_offline_the_cache_is_enough(online, hub, folders):
    server, hashes, home = hub
    known = online.load("org/clap@v1")
    assert online.load("org/clap")["revision"] == hashes["org/clap"][1]
    worker = Worker(server.url, home, folders / "clip.wav", offline=True)
    assert worker.load("org/clap@v1") == known
    assert worker.load("org/clap")["revision"] == hashes["org/clap"][1]
    assert "HF_HUB_OFFLINE is set. Ways out: unset it" in worker.error("org/never")
    assert "at revision 'v9'" in worker.error("org/clap@v9")
    worker.close()


def test_a_commit_in_between_changes_what_the_id_gives_but_not_the_old_commit(online, hub, folders):
    server, _, _ = hub
    first, second = publish(server, "org/moving", folders / "clap", folders / "clap-2")
    server.repos["models", "org/moving"].refs["main"] = first
    old = online.load("org/moving")
    server.repos["models", "org/moving"].refs["main"] = second
    new, pinned = online.load("org/moving"), online.load(f"org/moving@{first}")
    assert (old["revision"], new["revision"]) == (first, second)
    assert pinned == old and new["text"] != old["text"]


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_adapters_by_id(online, hub, tmp_path_factory):
    from encoder_cases import save_case

    folder = save_case("adapter", tmp_path_factory.mktemp("adapter") / "adapter")
    (commit,) = publish(hub[0], "org/adapter", folder)
    found = online.load("org/adapter")
    assert (found["name"], found["revision"], found["kind"]) == ("org/adapter", commit, "AuricleEncoder")
    assert found["text"] == load_encoder(folder, device="cpu").embed_texts(["rain"])[0].tolist()


def test_names_that_no_hub_could_have(tmp_path):
    with pytest.raises(ValueError, match="not a valid Hub id"):
        load_encoder("a b/c d")
    with pytest.raises(ValueError, match="write owner/name@revision"):
        load_encoder("owner/name@")
    path = tmp_path / "model.bin"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is a file; expected a model's directory or a Hub id"):
        load_encoder(path)
