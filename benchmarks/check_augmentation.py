"""
Back-translation and mixing of 1,000 real captions against `transformers serve` on loopback, killed again and again.

    python benchmarks/check_augmentation.py CLOTHO_CAPTIONS_CSV [--captions 1000] [--kills 5]

CLOTHO_CAPTIONS_CSV is Clotho's file of a split (file_name, caption_1 ... caption_5). The server's model is a tiny
Llama with random weights over the words of these captions: its answers mean nothing, and those that pass the checks
are kept like any others. A counting proxy stands between job and server. Each job is run unbroken, then anew with
SIGKILLs at random moments; both must end with the same file, and no finished answer may be asked for again.
"""

import argparse
import csv
import hashlib
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONCURRENCY = 4
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %} <answer>"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captions_csv", type=Path)
    parser.add_argument("--captions", type=int, default=1_000, help="five a clip")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clotho = make_clotho(arguments.captions_csv, root / "clotho", arguments.captions // 5)
        model = make_model(arguments.captions_csv, root / "model")
        port = free_port()
        command = ["transformers", "serve", str(model), "--port", str(port), "--device", "cpu"]
        with open(root / "server.log", "wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(port, server, root / "server.log")
            proxy = CountingProxy(port)
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            fine = True
            for name, result, options in (
                ("back-translate", "captions.parquet", []),
                ("mix", "metadata.jsonl", ["--count", str(arguments.captions)]),
            ):
                fine &= drill(name, result, options, clotho, model, proxy, root, arguments)
        finally:
            server.kill()
    raise SystemExit(0 if fine else 1)


def drill(name, result, options, clotho, model, proxy, root, arguments) -> bool:
    def command(out: Path) -> list[str]:
        server = ["--backend", "openai", "--model", str(model), "--base-url", proxy.url, "--temperature", "0"]
        settings = ["--split", "train", "--attempts", "2", "--concurrency", str(CONCURRENCY), "--no-progress"]
        return [
            sys.executable,
            "-m",
            "auricle",
            "augment",
            name,
            str(clotho),
            str(out),
            *options,
            *server,
            *settings,
        ]

    began = time.monotonic()
    done = subprocess.run(command(root / f"{name}-whole"), capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    asked_once = sum(proxy.answered.values())
    proxy.answered.clear()
    moments, kills = random.Random(arguments.seed), 0
    while kills < arguments.kills:
        process = subprocess.Popen(command(root / f"{name}-killed"), stdout=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.3, 0.8) * took / arguments.kills + 5)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    last = subprocess.run(command(root / f"{name}-killed"), capture_output=True, text=True)
    twice = sum(times - 1 for times in proxy.answered.values())
    proxy.answered.clear()
    digests = [
        hashlib.sha256((root / f"{name}-{run}" / result).read_bytes()).hexdigest()
        for run in ("whole", "killed")
    ]
    equal = digests[0] == digests[1]
    print(f"{name}: {took:.0f} s unbroken, {asked_once} answers. {kills} kills.")
    print(f"  answers under way at a kill and asked for again: {twice} (at most {CONCURRENCY} a kill)")
    print(f"  file of the killed job equal: {equal}")
    print("".join(f"  {line}\n" for line in last.stdout.splitlines()), flush=True)
    return equal and kills == arguments.kills and twice <= CONCURRENCY * kills


def make_clotho(captions_csv: Path, folder: Path, clips: int) -> Path:
    """Clotho's layout with so many of its clips' real names and captions, and short noises for sounds."""
    with open(captions_csv, newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))[: clips + 1]
    (folder / "development").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for row in rows:
        soundfile.write(folder / "development" / row[0], 0.1 * generator.standard_normal(8_000), 16_000)
    with open(folder / "clotho_captions_development.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return folder


def make_model(captions_csv: Path, folder: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<pad>", "<end>", "<answer>"]
    trainer = trainers.WordLevelTrainer(vocab_size=400, special_tokens=special)
    tokenizer.train([str(captions_csv)], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="<end>"
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.4,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
    )
    network = LlamaForCausalLM(config)
    # Answers of a dozen words.
    network.generation_config.max_length = 400
    network.generation_config.eos_token_id = [fast.eos_token_id, *range(20, 50)]
    network.save_pretrained(folder)
    return folder


class CountingProxy(ThreadingHTTPServer):
    """Passes requests on and counts the answers by the request's content."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.answered, self.lock = port, Counter(), threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address) -> None:
        """A killed job leaves broken connections: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        connection.request("POST", self.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        asked = json.loads(body)
        with self.server.lock:
            self.server.answered[json.dumps([asked["messages"], asked.get("seed")])] += 1

    def log_message(self, *arguments: object) -> None:
        """Nothing: thousands of lines."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
