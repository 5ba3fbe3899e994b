"""Publishing over HTTP to a Hub on loopback, and loading from it where this package does not exist."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import READ_ONLY_TOKEN, TOKEN, Commit, Repo, hub_server
from publishing_client import REPO, STRANGER, Client, environment, files_of, load_as_stranger, own_embeddings
from tiny_recipes import ROOT, run_train, tiny_recipe, weights_of, write_captioned_folder, write_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished, evaluated run of two stages, the second of adapters and cluster heads."""
    root = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe(
        root, write_captioned_folder(root / "sounds", {"train": 8, "validation": 2, "test": 3})
    )
    recipe["training"] |= {"epochs": 1}
    clusters = {"embed_with": "first", "method": "kmeans", "num_clusters": 2}
    recipe["stages"].append(
        {"name": "second", "clusters": clusters, "training": {"lora": {"towers": ["audio"]}}}
    )
    run_train(write_recipe(root / "recipe.yaml", recipe))
    return root / "run"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with hub_server() as server:
        client = Client(server, tmp_path_factory.mktemp("home"))
        yield client
        client.process.kill()
        client.process.wait()


@pytest.fixture
def client(running):
    """The client, its server without a repository."""
    running.server.repos.clear()
    running.server.stored.clear()
    running.server.requests.clear()
    running.server.fault = lambda method, path: None
    return running


@pytest.fixture
def server(client):
    return client.server


@pytest.mark.slow
def test_what_is_pushed_loads_elsewhere_bit_for_bit(client, server, run, tmp_path):
    done = client.push(run)
    assert f"{server.url}/{REPO}/commit/" in done.stdout
    files = files_of(server)
    weights = len(files["model.safetensors"])
    # The vocabulary of a real tokenizer comes on top; everything that is ours is small.
    assert sum(map(len, files.values())) - weights < 420_000
    assert {
        "README.md",
        "config.json",
        "recipe.yaml",
        "training_log.json",
        "evaluation.json",
        "clusters.json",
    } <= set(files)
    assert not [
        name for name in files if "optimizer" in name or name.endswith((".pt", ".pth", ".wav", ".bin"))
    ]
    for name, content in files.items():
        assert str(run.parent).encode() not in content and TOKEN.encode() not in content, name
    sound = next((run.parent / "sounds").glob("test_*.wav"))
    assert load_as_stranger(server, tmp_path, sound) == own_embeddings(run / "second" / "model", sound)
    # Once more: nothing has changed, and nothing is refused.
    client.push(run)
    assert files_of(server) == files


@pytest.mark.slow
def test_branches_and_pull_requests_leave_the_main_branch_alone(client, server, run, tmp_path):
    client.push(run, "--private")
    assert server.repos["models", REPO].private
    before = files_of(server)
    client.push(run, "--stage", "first", "--allow-unevaluated", "--revision", "v1", "--overwrite")
    done = client.push(run, "--stage", "first", "--allow-unevaluated", "--create-pr")
    assert done.stdout.rstrip().endswith("/discussions/1")
    assert files_of(server) == before
    for revision in ("v1", "refs/pr/1"):
        other = files_of(server, revision=revision)
        assert other["model.safetensors"] == (run / "first" / "model" / "model.safetensors").read_bytes()
    sound = next((run.parent / "sounds").glob("test_*.wav"))
    assert load_as_stranger(server, tmp_path, sound, "v1") == own_embeddings(run / "first" / "model", sound)


@pytest.mark.slow
def test_other_weights_are_not_overwritten_unasked(client, server, run, tmp_path):
    client.push(run)
    before = files_of(server)
    options = ("--stage", "first", "--allow-unevaluated")
    done = client.push(run, *options, code=2)
    assert "already has other weights (model.safetensors)" in done.stderr
    assert files_of(server) == before
    client.push(run, *options, "--overwrite")
    assert files_of(server)["model.safetensors"] != before["model.safetensors"]


@pytest.mark.slow
def test_a_push_that_breaks_changes_nothing_and_can_be_repeated(client, server, run, tmp_path):
    server.fault = lambda method, path: 403 if "/lfs/put/" in path else None
    client.push(run, code=2)
    assert files_of(server) == {}
    server.fault = lambda method, path: "cut" if "/commit/" in path else None
    done = client.push(run, code=2)
    assert f"{REPO}: cannot publish" in done.stderr and len(done.stderr.strip().splitlines()) <= 3
    assert files_of(server) == {}
    server.fault = lambda method, path: None
    client.push(run)
    assert "model.safetensors" in files_of(server)


@pytest.mark.slow
def test_tokens(client, server, run, tmp_path):
    assert "no access token for the Hub found" in client.push(run, code=2, token=None).stderr
    assert "the token is not valid" in client.push(run, code=2, token="hf_wrong").stderr
    done = client.push(run, code=2, token=READ_ONLY_TOKEN)
    assert "the token has no write access" in done.stderr
    assert READ_ONLY_TOKEN not in done.stderr and not server.repos


@pytest.mark.slow
def test_adapters_a_space_and_the_captions(client, server, run, tmp_path):
    client.push(run, "--stage", "first", "--allow-unevaluated", repo="someone/base")
    extra = ("--include-space", "someone/shown", "--include-dataset", "someone/captions")
    client.push(run, "--adapter-of", "someone/base", *extra, repo="someone/adapter")
    files = files_of(server, "someone/adapter")
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "someone/base"
    assert "model.safetensors" not in files and "adapter_model.safetensors" in files
    space = files_of(server, "someone/shown", kind="spaces")
    assert (
        b"someone/adapter" in space["app.py"]
        and yaml.safe_load(space["README.md"].decode().split("---")[1])["sdk"]
    )
    compile(space["app.py"], "app.py", "exec")
    table = files_of(server, "someone/captions", kind="datasets")
    assert {"data/train.parquet", "data/test.parquet", "README.md"} <= set(table)
    assert all(str(run.parent).encode() not in content for content in table.values())
    code = (
        "from peft import PeftModel; from transformers import AutoModel\n"
        "base = AutoModel.from_pretrained('someone/base', trust_remote_code=True)\n"
        "PeftModel.from_pretrained(base, 'someone/adapter').merge_and_unload().save_pretrained('merged')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(server, tmp_path),
        cwd=tmp_path,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = weights_of(run / "second" / "model"), weights_of(tmp_path / "merged")
    assert all((ours[name] - theirs[name]).abs().max() < 1e-5 for name in theirs)


@pytest.mark.slow
def test_a_dry_run_shows_everything_and_asks_nobody(client, server, run, tmp_path):
    done = client.push(run, "--dry-run", token=None)
    assert "model.safetensors" in done.stdout and "# tiny" in done.stdout and "model-index" in done.stdout
    assert "training clips have an unknown license" in done.stderr
    assert "license: cc0-1.0" in client.push(run, "--dry-run", "--license", "cc0-1.0").stdout
    assert server.requests == []


@pytest.mark.slow
def test_the_card_is_one_that_the_hub_takes(run):
    from huggingface_hub import ModelCard

    from auricle.hub.publishing import collect_run

    card = ModelCard(collect_run(run, REPO).files["README.md"].decode())
    results = card.data.eval_results
    assert card.data.model_name == "tiny" and len(results) == 10
    figures = json.loads((run / "results.json").read_text())
    one = next(r for r in results if r.metric_type == "mAP@16" and r.task_type == "text-to-audio-retrieval")
    assert one.metric_value == round(figures["figures"]["test"]["text_to_audio_mAP@16"], 4)
    low, high = one.metric_args["confidence_interval_95"]
    assert low <= one.metric_value <= high


@pytest.mark.slow
def test_unfinished_and_unevaluated_runs_and_bad_names(client, server, run, tmp_path):
    assert "is not a repository name" in client.push(run, code=2, repo="a b/c").stderr
    assert "expected owner/name" in client.push(run, code=2, repo="alone").stderr
    assert "no such stage" in client.push(run, "--stage", "third", code=2).stderr
    assert "was not evaluated" in client.push(run, "--stage", "first", code=2).stderr
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "second" / "stage.json").unlink()
    assert "stage 'second' is not finished" in client.push(copy, code=2).stderr
    assert "give the directory of a finished run, or of a model" in client.push(tmp_path, code=2).stderr
    assert server.requests == []


@pytest.mark.slow
def test_a_full_disk_in_the_cache_is_told(server, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    first = Commit("0" * 40, "first", {"config.json": b"{}" * 100})
    server.repos["models", REPO] = Repo(False, {first.oid: first}, {"main": first.oid})
    code = (
        "import builtins, errno, sys\n"
        "from auricle.encoders.auricle_checkpoint import load_pretrained\n"
        "import huggingface_hub.file_download as download\n"
        "def full(*arguments, **options):\n"
        "    raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "download.http_get = full\n"
        "try:\n"
        f"    load_pretrained({REPO!r})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(server, tmp_path),
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout and REPO in done.stdout


@pytest.mark.slow
def test_training_pushes_each_stage_and_survives_a_hub_that_fails(server, tmp_path):
    sounds = write_captioned_folder(tmp_path / "sounds", {"train": 8, "validation": 2, "test": 3})
    recipe = tiny_recipe(tmp_path, sounds)
    recipe["training"] |= {"epochs": 1}
    path = write_recipe(tmp_path / "recipe.yaml", recipe)
    command = [sys.executable, str(ROOT / "train.py"), str(path), "--push-to-hub", REPO, "--no-progress"]
    environ = {**environment(server, tmp_path), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stage 'first' pushed: ") == 2
    branch, main = files_of(server, revision="first"), files_of(server)
    assert branch["model.safetensors"] == main["model.safetensors"]
    assert "evaluation.json" in main and "evaluation.json" not in branch
    server.fault = lambda method, path: 500 if method == "POST" else None
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=240, cwd=tmp_path)
    assert done.returncode == 0 and "stage 'first' was not pushed" in done.stderr
    assert "text to audio" in done.stdout


@pytest.mark.slow
def test_a_pull_that_breaks_in_the_middle_says_so_and_can_be_repeated(client, server, run, tmp_path):
    client.push(run)
    server.fault = lambda method, path: (
        "cut" if method == "GET" and path.endswith("model.safetensors") else None
    )
    sound = next((run.parent / "sounds").glob("test_*.wav"))
    arguments = [sys.executable, "-c", STRANGER, REPO, "main", str(sound)]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env=environment(server, tmp_path),
        timeout=240,
        cwd=tmp_path,
    )
    assert done.returncode != 0
    server.fault = lambda method, path: None
    assert load_as_stranger(server, tmp_path, sound) == own_embeddings(run / "second" / "model", sound)


@pytest.mark.slow
def test_a_template_with_an_unknown_field_stops_before_anything_is_uploaded(run, tmp_path, monkeypatch):
    from auricle.hub import model_card
    from auricle.hub.publishing import PublishError, collect_run

    (tmp_path / "card.md").write_text("# {{ name }} {{ nowhere }}")
    monkeypatch.setattr(model_card.resources, "files", lambda package: tmp_path)
    monkeypatch.setattr(model_card, "TEMPLATE", "card.md")
    with pytest.raises(PublishError, match="uses an unknown field: 'nowhere' is undefined"):
        collect_run(run, REPO)
