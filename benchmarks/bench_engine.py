"""
A question to a running engine beside the command that opens the index itself, and many clients at once.

    python benchmarks/bench_engine.py MODEL [--windows 100000] [--rounds 5] [--clients 20] [--questions 2000]

The index holds random vectors. Whole commands, warm and cold in turns: wall time and CPU time of the command; both
print the same. Then clients ask the JSON API at the same time, each waiting for its answer before it asks again.
"""

import argparse
import http.client
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from bench_search_start import make_index
from measuring import machine, table

SOUNDS = (
    "rain",
    "a dog",
    "wind",
    "a church bell",
    "a train",
    "footsteps",
    "a crowd",
    "an engine",
    "a bird",
    "waves",
)
PLACES = (
    "on a roof",
    "far away",
    "in a hall",
    "at night",
    "close by",
    "in a forest",
    "on gravel",
    "behind a door",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--questions", type=int, default=2000, help="of all clients together")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        make_index(index, arguments.model, arguments.windows)
        os.environ["AURICLE_RUNTIME_DIR"] = str(Path(folder) / "run")
        command = [sys.executable, "-u", "-m", "auricle", "serve", str(index), "--api-only"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            place = urlsplit(server.stdout.readline().split(" ")[0])
            ask_once(place, "rain")
            print(machine())
            print(commands(index, arguments.rounds))
            print(clients(place, psutil.Process(server.pid), arguments.clients, arguments.questions))
        finally:
            server.terminate()
            server.wait()


def commands(index: Path, rounds: int) -> str:
    """A table of the same command with and without the engine."""
    ask = [sys.executable, "-m", "auricle", "search", "rain on a roof", "--index", str(index), "--json"]
    ways = {"auricle search, engine running": ask, "auricle search --no-server": [*ask, "--no-server"]}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    printed = set()
    for turn in range(rounds + 1):
        for name, command in ways.items():
            used, began = cpu_of_children(), time.monotonic()
            done = subprocess.run(command, check=True, capture_output=True)
            printed.add(done.stdout)
            if turn:
                wall[name].append(time.monotonic() - began)
                cpu[name].append(cpu_of_children() - used)
    if len(printed) != 1:
        raise SystemExit("the engine's answers differ from the command's own")
    measures = [(wall, statistics.median, 2), (wall, min, 2), (cpu, statistics.median, 3), (cpu, min, 3)]
    rows = [
        [name, *(f"{measure(taken[name]):.{digits}f}" for taken, measure, digits in measures)]
        for name in ways
    ]
    return table(rows, ["command", "median wall s", "best wall s", "median CPU-s", "best CPU-s"])


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def clients(place, process: psutil.Process, count: int, questions: int) -> str:
    """A table of what many clients see."""
    seconds: list[float] = []
    errors: list[str] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        for turn in range(number, questions, count):
            sentence = f"{SOUNDS[turn % len(SOUNDS)]} {PLACES[turn // len(SOUNDS) % len(PLACES)]} {turn}"
            began = time.monotonic()
            try:
                ask_once(place, sentence)
            except (OSError, ValueError) as error:
                with lock:
                    errors.append(str(error))
            with lock:
                seconds.append(time.monotonic() - began)

    memory, used, began = process.memory_info().rss, process.cpu_times(), time.monotonic()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, spent = time.monotonic() - began, process.cpu_times()
    cpu = (spent.user + spent.system - used.user - used.system) / questions
    after = process.memory_info().rss
    cuts = statistics.quantiles(seconds, n=100)
    row = [f"{count} clients, {len(seconds):,} questions", len(errors), f"{questions / took:.0f}"]
    row += [f"{1e3 * cuts[49]:.0f}", f"{1e3 * cuts[94]:.0f}", f"{1e3 * max(seconds):.0f}", f"{1e3 * cpu:.1f}"]
    row += [f"{memory / 1e6:.0f}", f"{(after - memory) / 1e6:+.0f}"]
    head = [
        "",
        "errors",
        "a second",
        "median ms",
        "p95 ms",
        "most ms",
        "CPU-ms each",
        "MB before",
        "MB added",
    ]
    return table([[str(cell) for cell in row]], head) + ("\n" + errors[0] if errors else "")


def ask_once(place, sentence: str) -> None:
    """
    Raises:
        ValueError: if the server does not answer with ten results.
    """
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    try:
        body = json.dumps({"query": sentence})
        connection.request("POST", "/api/v1/search", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        if reply.status != 200 or len(answer["results"]) != 10:
            raise ValueError(f"{reply.status}: {answer}")
    finally:
        connection.close()


if __name__ == "__main__":
    main()
