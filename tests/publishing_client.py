"""A process with the unmodified Hub client, one where this package does not exist, and what is compared of both."""

import json
import os
import subprocess
import sys

from hub_server import TOKEN
from tiny_recipes import ROOT

REPO = "someone/tiny"
# Loads by repository name in a process without this package, from an empty cache.
STRANGER = """
import json, sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import torch
from transformers import AutoModel, AutoProcessor

name, revision, sound = sys.argv[1], sys.argv[2], sys.argv[3]
options = {"trust_remote_code": True, "revision": revision}
model = AutoModel.from_pretrained(name, **options).eval()
processor = AutoProcessor.from_pretrained(name, **options)
with torch.no_grad():
    text = model.get_text_features(**processor(text=["a dog barks"])).pooler_output
    audio = model.get_audio_features(**processor(audio=[sound])).pooler_output
print(json.dumps([text.tolist(), audio.tolist()]))
"""


# Runs push_to_hub.py again and again: the client reads its settings when it is imported, and imports take longest.
CLIENT = """
import json, os, runpy, sys
from typer.testing import CliRunner
app = runpy.run_path(sys.argv[1])["app"]
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.pop("HF_TOKEN", None)
    if asked["token"]:
        os.environ["HF_TOKEN"] = asked["token"]
    done = CliRunner().invoke(app, asked["arguments"])
    print(json.dumps([done.exit_code, done.stdout, done.stderr]), flush=True)
"""


class Client:
    """A process with the unmodified client, pointed at a server."""

    def __init__(self, server, home):
        self.server = server
        command = [sys.executable, "-c", CLIENT, str(ROOT / "push_to_hub.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment(server, home, None), cwd=home, **pipes)

    def push(self, run, *options, code=0, token=TOKEN, repo=REPO):
        asked = {"arguments": [str(run), repo, *map(str, options)], "token": token}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        exit_code, stdout, stderr = json.loads(self.process.stdout.readline())
        assert exit_code == code, stdout + stderr
        return subprocess.CompletedProcess(asked["arguments"], exit_code, stdout, stderr)


def environment(server, home, token=TOKEN):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    more = {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
    }
    return {**kept, **more, **({"HF_TOKEN": token} if token else {})}


def files_of(server, repo=REPO, revision="main", kind="models"):
    return server.repos[kind, repo].at(revision).files


def load_as_stranger(server, home, sound, revision="main"):
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, REPO, revision, str(sound)],
        capture_output=True,
        text=True,
        env=environment(server, home),
        timeout=240,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def own_embeddings(model_dir, sound):
    import torch

    from auricle.encoders.auricle_checkpoint import load_pretrained

    model, processor = load_pretrained(model_dir)
    with torch.no_grad():
        text = model.get_text_features(**processor(text=["a dog barks"])).pooler_output
        audio = model.get_audio_features(**processor(audio=[str(sound)])).pooler_output
    return [text.tolist(), audio.tolist()]
