"""A moment head trained on generated recordings: run directory, resume, refusals, and what it is used for."""

import json

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import save_file
from tiny_models import write_sound
from tiny_moments import write_moment_place, write_moment_recipe
from tiny_recipes import ROOT, weights_of

from auricle.data.moments.generated_recordings import MomentSettings
from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.recordings.frame_grid import embed_frame_grid
from auricle.encoders.recordings.moment_head import MomentHead
from auricle.evaluation.moments.moment_queries import read_moment_queries
from auricle.search.moments.moment_answers import answer_moment_queries
from auricle.training.divergence import DivergedError
from auricle.training.moments import moment_trainer
from auricle.training.moments.frame_store import read_frames
from auricle.training.moments.moment_recipe import MomentRecipe, is_moment_recipe, read_moment_recipe
from auricle.training.moments.moment_running import run_moment_recipe
from auricle.training.recipe.reading import RecipeError, parse_overrides
from auricle.training.recipe.reading import read_recipe as read_retrieval_recipe


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_moment_place(tmp_path_factory.mktemp("moments"))


def recipe_of(place, name, **changes):
    return read_moment_recipe(write_moment_recipe(place, name), changes)


@pytest.fixture(scope="module")
def trained(place):
    """The results of one run."""
    return run_moment_recipe(recipe_of(place, "run"), progress=False)


def test_a_run_leaves_what_it_was_and_what_came_out(place, trained):
    run = place / "run"
    record = json.loads((run / "run.json").read_text())
    assert record["task"] == "moments" and record["recipe"]["head"]["hidden_size"] == 16
    stage = json.loads((run / "head" / "stage.json").read_text())
    assert stage["encoder"]["fingerprint"] == load_encoder(place / "encoder").fingerprint
    assert {"loss_saliency", "loss_span", "loss_quality"} <= set(stage["log"][0])
    inputs = json.loads((run / "head" / "made_from.json").read_text())
    assert set(inputs) == {
        "the encoder",
        *(f"the queries and recordings of {name}" for name in ("train", "validation", "test")),
    }
    assert trained["test"]["queries"] == len((run / "test_predictions.jsonl").read_text().splitlines())
    assert 0 <= trained["test"]["metrics"]["mIoU"]["value"] <= 1
    assert trained["validation"]["metric"] == "mIoU"


def test_splits_share_no_clip(place, trained):
    sources = []
    for folder in (place / "cache" / "generated_moments").iterdir():
        lines = map(json.loads, (folder / "moments.jsonl").read_text().splitlines())
        sources.append({name for line in lines for name in line["sources"]})
    assert len(sources) == 3
    for place_, one in enumerate(sources):
        for other in sources[place_ + 1 :]:
            assert one and not one & other


def test_frames_are_kept_by_content_and_encoder(place, trained):
    encoder = load_encoder(place / "encoder")
    kept = sorted((place / "cache" / "moment_frames").rglob("*.safetensors"))
    assert len(kept) == 7
    audio = sorted((place / "cache" / "generated_moments").rglob("*.flac"))
    grids = [embed_frame_grid(encoder, path) for path in audio]
    for path in kept:
        grid = read_frames(path)
        near = [
            np.abs(grid.vectors - other.vectors).max()
            for other in grids
            if grid.vectors.shape == other.vectors.shape
        ]
        assert min(near) < 1e-3  # float16


def test_damaged_frames_are_reported_and_made_again(place, trained, caplog):
    files = sorted((place / "cache" / "moment_frames").rglob("*.safetensors"))
    whole = [read_frames(path) for path in files]
    cut, shortened, foreign = files[:3]
    cut.write_bytes(cut.read_bytes()[:-10])
    for path, changes in ((shortened, {}), (foreign, {"encoder": "0" * 64})):
        with safe_open(path, "numpy") as file:
            record, frames = file.metadata(), file.get_tensor("frames")
        save_file({"frames": frames if changes else frames[:-9]}, path, metadata={**record, **changes})
    run_moment_recipe(recipe_of(place, "run"), progress=False)
    assert "frames of 3 recordings are damaged and made again, first " in caplog.text
    for path, grid in zip(files, whole, strict=True):
        assert (read_frames(path).vectors == grid.vectors).all()
    caplog.clear()
    run_moment_recipe(recipe_of(place, "run"), progress=False)
    assert "damaged" not in caplog.text


def test_a_finished_run_is_not_trained_again(place, trained, monkeypatch):
    monkeypatch.setattr(moment_trainer.MomentTrainer, "train", None)
    again = run_moment_recipe(recipe_of(place, "run"), progress=False)
    assert again["test"]["metrics"] == trained["test"]["metrics"]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(place, trained, monkeypatch):
    original, calls = moment_trainer.MomentTrainer.evaluate, []

    def stop_at_the_second(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(moment_trainer.MomentTrainer, "evaluate", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run_moment_recipe(recipe_of(place, "stopped"), progress=False)
    run_moment_recipe(recipe_of(place, "stopped"), progress=False)
    whole, parts = (
        weights_of(max((place / name / "head").glob("checkpoint-*"), key=lambda path: path.stat().st_mtime))
        for name in ("run", "stopped")
    )
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_another_recipe_or_other_contents_are_refused(place, trained):
    with pytest.raises(
        RecipeError, match=r"contains a run with another recipe \(training.learning_rate is 0.0005"
    ):
        run_moment_recipe(recipe_of(place, "run", learning_rate=1e-3), progress=False)
    with pytest.raises(RecipeError, match=r"the inputs have changed since the run started: the encoder"):
        run_moment_recipe(recipe_of(place, "run", encoder=str(place / "other")), progress=False)


def test_a_head_is_refused_on_another_encoder_by_name(place, trained):
    head, other = trained["model"], load_encoder(place / "other")
    told = rf"{head}: was trained on the frames of 'encoder' \(fingerprint .*, but the model is '{place / 'other'}'"
    with pytest.raises(EncoderError, match=told):
        MomentHead.load(head, other)
    with pytest.raises(EncoderError, match="not a moment head: config.json has model_type 'auricle'"):
        MomentHead.load(place / "encoder", other)
    with pytest.raises(EncoderError, match="was trained on the frames of 'encoder'"):
        run_moment_recipe(
            recipe_of(place, "unfit", encoder=str(place / "other"), starts_from=head), progress=False
        )


def test_a_head_answers_queries_like_its_own_run(place, trained):
    encoder = load_encoder(place / "encoder")
    head = MomentHead.load(trained["model"], encoder)
    predictions = [
        json.loads(line) for line in (place / "run" / "test_predictions.jsonl").read_text().splitlines()
    ]
    for folder in (place / "cache" / "generated_moments").iterdir():
        queries = read_moment_queries(folder / "moments.jsonl").queries
        if {query.qid for query in queries} != {line["qid"] for line in predictions}:
            continue
        if {query.query for query in queries} != {line["query"] for line in predictions}:
            continue
        answers = answer_moment_queries(encoder, queries, folder / "audio", head=head)
        assert answers.edges == "head" and answers.ceiling["R1@0.7"] == 1.0
        for line in predictions:
            found = np.array(answers.spans[line["qid"]])
            # The run's frames were kept in float16.
            assert np.abs(found[0] - np.array(line["pred_relevant_windows"][0])).max() < 0.2
        return
    raise AssertionError("the test recordings were not found")


def test_learned_queries_train_too(place):
    results = run_moment_recipe(
        recipe_of(place, "queries", **{"head.decoder": "queries", "training.epochs": 1}), progress=False
    )
    assert results["test"]["queries"] > 0


def test_a_head_of_both_kinds_of_frames_trains(place):
    changes = {"head.frame_source": "both", "head.contrast": True, "training.epochs": 1}
    results = run_moment_recipe(recipe_of(place, "both", **changes), progress=False)
    head = MomentHead.load(results["model"], load_encoder(place / "encoder"))
    assert head.model.config.frame_source == "both" and head.model.config.contrast
    assert head.model.common_query.norm() > 0.1
    kept = sorted((place / "cache" / "moment_frames").glob("*_both/*/*.safetensors"))
    assert {read_frames(path).vectors.shape[1] for path in kept} == {24}


def test_a_run_from_before_a_field_goes_on(place, trained):
    path = place / "run" / "run.json"
    text = path.read_text()
    record = json.loads(text)
    for name in ("frame_source", "contrast"):
        record["recipe"]["head"].pop(name)
    path.write_text(json.dumps(record))
    again = run_moment_recipe(recipe_of(place, "run"), progress=False)
    assert again["test"]["metrics"] == trained["test"]["metrics"]
    with pytest.raises(RecipeError, match="head.contrast is False there and True here"):
        run_moment_recipe(recipe_of(place, "run", contrast=True), progress=False)
    path.write_text(text)


def test_a_training_that_diverges_stops(place):
    recipe = recipe_of(place, "diverged", learning_rate=1e30, max_grad_norm=0)
    with pytest.raises(DivergedError, match="diverged"):
        run_moment_recipe(recipe, progress=False)
    assert not (place / "diverged" / "head" / "stage.json").exists()


def test_files_of_queries_with_bad_recordings(place, tmp_path):
    audio = tmp_path / "audio"
    write_sound(audio / "good.wav", 30.0, seed=1)
    (audio / "bad.wav").write_bytes(b"RIFF of nothing")
    write_sound(audio / "short.wav", 5.0, seed=2)
    lines = [
        {"qid": name, "query": "a dog barks", "vid": name, "duration": 30.0, "relevant_windows": [[3, 7]]}
        for name in ("good", "bad", "short", "absent")
    ]
    queries = tmp_path / "queries.jsonl"
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines))
    entry = [{"queries": str(queries), "audio": str(audio)}]
    changes = {
        "data.source": "files",
        "data.train": entry,
        "data.validation": entry,
        "data.test": entry,
        "training.epochs": 1,
    }
    with pytest.raises(RecipeError, match="1 of 4 recordings of .* are missing, first 'absent'"):
        run_moment_recipe(recipe_of(place, "files", **changes), progress=False)
    results = run_moment_recipe(
        recipe_of(place, "files", **changes, **{"data.missing": "skip"}), progress=False
    )
    assert results["test"]["queries"] == 1
    assert any("2 recordings cannot be used" in remark for remark in results["remarks"])
    assert any("1 recordings are missing, first 'absent'" in remark for remark in results["remarks"])


def test_frames_coarser_than_the_encoders_are_means(place, tmp_path):
    encoder = load_encoder(place / "encoder")
    path = write_sound(tmp_path / "sound.wav", 7.3, seed=3)
    fine, coarse = embed_frame_grid(encoder, path), embed_frame_grid(encoder, path, frame_seconds=1.0)
    assert fine.duration == coarse.duration == pytest.approx(7.3)
    assert len(fine.vectors) == 15 and len(coarse.vectors) == 8
    for place_ in range(7):
        mean = fine.vectors[2 * place_ : 2 * place_ + 2].sum(axis=0)
        assert np.abs(coarse.vectors[place_] - mean / np.linalg.norm(mean)).max() < 1e-6
    with pytest.raises(EncoderError, match=r"its frames last 0.5 s; frame_seconds=0.1 must be at least that"):
        embed_frame_grid(encoder, path, frame_seconds=0.1)


def test_a_recording_of_one_sample_has_a_frame(place, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.ones(1, np.float32), 16000)
    assert embed_frame_grid(load_encoder(place / "encoder"), tmp_path / "one.wav").vectors.shape == (1, 12)


def test_recipes_of_this_kind_are_told_apart(place):
    path = place / "run.yaml"
    recipe_of(place, "run")
    assert is_moment_recipe(path)
    with pytest.raises(RecipeError, match="task is not a known field"):
        read_retrieval_recipe(path)
    with pytest.raises(RecipeError, match="epochs=3 must be a multiple of evaluate_every=2"):
        read_moment_recipe(path, {"epochs": 3, "evaluate_every": 2})
    assert parse_overrides(["--encoder", "2024", "--epochs", "3"], MomentRecipe) == {
        "encoder": "2024",
        "epochs": 3,
    }
    with pytest.raises(RecipeError, match="--epoch is not a field of a recipe. Did you mean --epochs"):
        read_moment_recipe(path, {"epoch": 3})
    with pytest.raises(RecipeError, match="encoder is missing"):
        read_moment_recipe(path, {"encoder": None})
    with pytest.raises(RecipeError, match="source: files needs train and validation"):
        read_moment_recipe(path, {"data.source": "files"})


@pytest.mark.parametrize("name", ["moments_demo", "moments_clotho_moment", "moments_castella"])
def test_every_recipe_of_the_repository_reads(name):
    path = ROOT / "recipes" / f"{name}.yaml"
    assert is_moment_recipe(path)
    recipe = read_moment_recipe(path, {"encoder": "some/model"})
    assert recipe.name == name and recipe.description


def test_generated_settings_of_splits_differ():
    section = MomentRecipe.model_validate(
        {"task": "moments", "name": "x", "data": {"generated": {"clips": "c"}}}
    ).data.generated
    settings = [section.settings(name) for name in ("train", "validation", "test")]
    assert all(isinstance(one, MomentSettings) for one in settings)
    assert len({one.seed for one in settings}) == 3
