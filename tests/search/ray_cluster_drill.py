"""
Run by test_ray_cluster.py in a network namespace of its own: a cluster of two nodes on loopback makes and asks an
index, this process makes and asks another one, and both are described on stdout as JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from auricle.search.sound_index import SoundIndex
from auricle.search.store.vector_index import NAME

ADDRESS = "127.0.0.1:6390"  # ports from 10002 to 19999 are Ray's own
SENTENCES = ["a dog barks", "rain falls", "two low tones", "an engine idles while a bird sings"]
EXACT_WINDOWS = 50


def start_nodes(folder: Path) -> None:
    common = ["--num-cpus=2", "--object-store-memory=100000000", "--disable-usage-stats"]
    head = ["--head", "--port=6390", "--include-dashboard=false", f"--temp-dir={folder}"]
    for number, where in ((1, head), (2, [f"--address={ADDRESS}"])):
        ports = [f"--min-worker-port={20_000 + 200 * number}", f"--max-worker-port={20_100 + 200 * number}"]
        ray = [str(Path(sys.executable).with_name("ray")), "start", f"--node-ip-address=127.0.0.{number}"]
        done = subprocess.run(
            [*ray, *where, *common, *ports], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise SystemExit(done.stdout)


def described(index: SoundIndex) -> dict:
    files = index.store.files()
    entries = index.store.entries(list(files))
    return {
        "approximate": index.store.approximate,
        "vectors": {
            path: np.asarray(entry.vectors, dtype=np.float32).tolist() for path, entry in entries.items()
        },
        "answers": {
            sentence: [
                (hit.path, hit.start, hit.score, hit.percentile) for hit in index.search(sentence, top=8)
            ]
            for sentence in SENTENCES
        },
        "filtered": [hit.path for hit in index.search(SENTENCES[0], top=8, tag="more", max_duration=2.0)],
    }


def main(root: Path, folders: list[str], model: str) -> None:
    alone = SoundIndex.create(root / "alone", model, exact_windows=EXACT_WINDOWS)
    alone.update(folders, progress=False)
    start_nodes(root / "ray")
    for folder in folders:
        # The second time the index exists: rows come to what is there.
        together = SoundIndex.create(root / "together", model, exact_windows=EXACT_WINDOWS, ray=ADDRESS)
        together.update([folder], progress=False)
    built = [index for index in together.store.table.to_lance().describe_indices() if index.name == NAME]
    result = {
        "nodes": together._cluster.nodes,
        "segments": [sorted(segment.fragment_ids) for index in built for segment in index.segments],
        "alone": described(alone),
        "together": described(together),
        "read_by_one": described(SoundIndex(root / "together")),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[3:], sys.argv[2])
