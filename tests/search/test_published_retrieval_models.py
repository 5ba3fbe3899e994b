"""The published retrieval checkpoints, converted and indexed: search by clip gives the publishers' similarities."""

import json

import pytest
from parity_cases import parity_roots
from safetensors.torch import load_file
from typer.testing import CliRunner

from auricle.cli.main import app

pytest.importorskip("lancedb")
CHECKPOINTS = [
    checkpoint
    for root in parity_roots()
    for case in sorted(root.rglob("retrieval/*/case.json"))
    for checkpoint in sorted(case.parent.glob("*.ckpt"))
]


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.skipif(
    not CHECKPOINTS, reason="AURICLE_PARITY_DIR names no directory with whole retrieval checkpoints"
)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_similarities_by_clip_are_the_publishers(checkpoint, tmp_path):
    folder = checkpoint.parent
    case = json.loads((folder / "case.json").read_text())
    run("convert", "retrieval", checkpoint, tmp_path / "model", "--tokenizer", folder / case["tokenizer"])
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name in case["clips"]:
        (sounds / name).write_bytes((folder / name).read_bytes())
    index = tmp_path / "index"
    run("index", sounds, "--model", tmp_path / "model", "--index", index, "--no-progress")
    expected = load_file(folder / "expected.safetensors")["out/similarities"]
    assert expected.shape == (len(case["captions"]), len(case["clips"]))
    for caption, similarities in zip(case["captions"], expected.tolist(), strict=True):
        hits = json.loads(run("search", caption, "--index", index, "--rank", "clip", "--json"))
        found = {hit["path"].rsplit("/", 1)[1]: hit["cosine"] for hit in hits}
        wanted = dict(zip(case["clips"], similarities, strict=True))
        assert found.keys() == wanted.keys()
        worst = max(abs(found[name] - wanted[name]) for name in wanted)
        assert worst <= 1e-4, (caption, worst)
        assert worst > 0, "these are not the vectors of the index, which are float16"
