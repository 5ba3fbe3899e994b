"""Pictures of a run."""

import json
import re
import shutil

import numpy as np
import pytest
from browser import browser, complaints, keep_picture, marks, overflow, requests_elsewhere, until
from tiny_recipes import run_train, tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

pytest.importorskip("plotly")
pytest.importorskip("sklearn")

from auricle.cli.main import app
from auricle.data import load_captioned_folder, unique_clips
from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.evaluation.metrics.retrieval_metrics import query_metrics_from_ranks, relevant_ranks
from auricle.training.runs.run_report import _curves, _is_loss, read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe(folder, write_captioned_folder(folder / "sounds"))
    recipe["evaluation"] = {"compare_untrained": True}
    recipe["stages"] = [{"name": "first"}, {"name": "second", "starts_from": "first"}]
    run_train(write_recipe(folder / "recipe.yaml", recipe))
    return folder / "run"


def report(*arguments):
    return CliRunner().invoke(app, ["report", *(str(argument) for argument in arguments), "--no-progress"])


def test_what_a_run_is_told_by(run):
    found = read_run(run, clips=3, clusters=2)
    summary = json.loads((run / "first" / "stage.json").read_text())
    assert [name for name, _ in found.logs] == ["first", "second"] and found.logs[0][1] == summary["log"]
    assert found.figures == json.loads((run / "results.json").read_text())["figures"] and found.untrained
    split = found.split
    assert split.name == "test" and split.similarities.shape == (3, 3) == (
        len(split.captions),
        len(split.clips),
    )
    table = load_captioned_folder(run.parent / "sounds", split="test")
    model, processor = load_pretrained(run / "second" / "model")
    clips = unique_clips(table)
    assert list(split.clips) == list(clips["clip_id"][:3])
    place = list(table["caption"]).index(split.captions[1])
    assert table["clip_id"][place] == split.clips[1]
    sounds = embed_clips(model, processor, list(clips["audio"]))[0]
    cosines = embed_captions(model, processor, list(split.captions)) @ sounds[:3].T
    np.testing.assert_allclose(split.similarities, cosines, atol=1e-6)
    # The clusters share out all captions: their figures add up to the run's own.
    assert len(split.clusters) == 2 and sum(one.captions for one in split.clusters) == len(table)
    whole = sum(one.captions * one.mean_average_precision for one in split.clusters) / len(table)
    assert whole == pytest.approx(found.figures["test"]["text_to_audio_mAP@16"], abs=1e-9)
    assert all(one.words for one in split.clusters)
    # Each caption a cluster: the figures are those of single queries, the best first.
    alone = read_run(run, clusters=len(table)).split.clusters
    relevant = [[list(clips["clip_id"]).index(clip)] for clip in table["clip_id"]]
    captions = embed_captions(model, processor, list(table["caption"]))
    of_query = query_metrics_from_ranks(*relevant_ranks(captions, sounds, relevant))
    assert [one.mean_average_precision for one in alone] == sorted(of_query["mAP@16"], reverse=True)
    assert len(alone) == len(table) and len(set(of_query["mAP@16"])) > 1
    assert read_run(run, split="validation").split.name == "validation"


def test_curves_of_stages_follow_one_another_and_do_not_touch():
    logs = [
        ("first", [{"loss": 3.0, "step": 5}, {"loss": 2.0, "step": 10}, {"eval_x_R@1": 0.1, "step": 12}]),
        ("second", [{"loss": 1.0, "loss_cluster": 0.5, "step": 4}]),
    ]
    lines = {trace.name: trace for trace in _curves(logs, _is_loss, "loss").data}
    assert list(lines) == ["loss", "loss cluster"]
    assert list(lines["loss"].x) == [5, 10, 12, 16, 16] and list(lines["loss"].y) == [
        3.0,
        2.0,
        None,
        1.0,
        None,
    ]
    assert list(lines["loss cluster"].x) == [16, 16]


def test_the_page_and_what_is_wrong(run, tmp_path):
    done = report(run)
    assert done.exit_code == 0 and (run / "report.html").is_file()
    text = (run / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="', text)
    assert "Similarities" in text and "test, text to audio, untrained" in text
    out = tmp_path / "page.html"
    for arguments, message in (
        ((tmp_path, "--out", out), "no run.json found"),
        ((run, "--out", tmp_path / "page.pdf"), "ends in .html"),
        ((run, "--out", out, "--split", "dev"), "split 'dev': the data have test, train, validation"),
    ):
        failed = report(*arguments)
        assert failed.exit_code == 2 and message in " ".join(failed.output.split()), failed.output
    assert not out.exists()


def test_a_run_that_goes_on_shows_its_newest_checkpoint(run, tmp_path):
    going = tmp_path / "run"
    shutil.copytree(run, going)
    (going / "results.json").unlink()
    (going / "second" / "stage.json").unlink()
    newest = sorted((going / "second").glob("checkpoint-*"), key=lambda one: int(one.name.split("-")[1]))[-1]
    found = read_run(going)
    assert found.figures == {} and [name for name, _ in found.logs] == ["first", "second"]
    assert found.logs[1][1] == json.loads((newest / "trainer_state.json").read_text())["log_history"]
    assert found.split is not None  # of the first stage, which is finished
    (going / "first" / "stage.json").unlink()
    assert read_run(going).split is None and report(going).exit_code == 0
    for stage in ("first", "second"):
        for checkpoint in (going / stage).glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    with pytest.raises(ValueError, match="nothing has been logged yet"):
        read_run(going)


@pytest.mark.browser
@marks[1]
def test_the_page_in_a_browser(run, tmp_path):
    out = tmp_path / "page.html"
    assert report(run, "--out", out).exit_code == 0
    with browser(tmp_path / "profile", 1280, 900) as driver:
        driver.get(out.as_uri())
        until(
            lambda: driver.execute_script(
                "return document.querySelectorAll('.plotly .main-svg').length >= 4"
            ),
            "drawing",
        )
        assert overflow(driver) <= 0
        for name in ("loss", "validation", "similarities", "clusters"):
            part = driver.execute_script(
                "return document.getElementById(arguments[0]).getBoundingClientRect().height", name
            )
            assert part > 100, name
        keep_picture(driver, "report.png")
        assert not requests_elsewhere(driver) and not complaints(driver)
