"""LoRA: what is trained, what is saved, and that PEFT, our loader and the merged model answer alike."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model_and_processor
from tiny_recipes import run_train, tiny_recipe, weights_of, write_captioned_folder, write_recipe

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.training.models.lora import add_lora, has_lora, merge_lora, save_adapter, trainable_share
from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import LoraSection

pytest.importorskip("peft")


def outputs(model, processor):
    sound = torch.randn(16_000, generator=torch.Generator().manual_seed(0)).numpy()
    inputs = {**processor(text=["a dog barks"]), **processor(audio=[0.1 * sound], sampling_rate=16_000)}
    with torch.no_grad():
        answer = model.eval()(**inputs)
    return torch.cat([answer.text_embeds, answer.audio_embeds])


def adapted(model, towers=("audio", "text"), **options):
    add_lora(model, LoraSection(towers=list(towers), **options), base="base", seed=3)
    return model


def stir(model):
    """Gives the adapters an effect: fresh ones have none."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))


def test_fresh_adapters_change_nothing_and_are_all_that_is_trained(tmp_path):
    model, processor = tiny_model_and_processor(tmp_path)
    before = outputs(model, processor)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    adapted(model, ["audio"])
    assert torch.equal(state, torch.get_rng_state())
    assert torch.allclose(outputs(model, processor), before, atol=1e-6)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    parts = {name.split(".")[0] for name in trained}
    assert parts == {"audio_model", "audio_projection", "text_projection"}
    share = trainable_share(model)
    assert share["trained"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < share["share"] < 0.5


def test_first_weights_come_from_the_seed(tmp_path):
    models = [adapted(tiny_model_and_processor(tmp_path)[0]) for _ in range(2)]
    one, two = (
        {name: value for name, value in model.state_dict().items() if "lora_A" in name} for model in models
    )
    assert one and all(torch.equal(one[name], two[name]) for name in one)


def test_cluster_heads_are_trained_whole(tmp_path):
    model, _ = tiny_model_and_processor(tmp_path)
    model.set_num_clusters(3)
    adapted(model)
    assert all(parameter.requires_grad for parameter in model.audio_cluster_head.parameters())


def test_merged_and_saved_adapters_answer_alike(tmp_path):
    from peft import PeftModel

    model, processor = tiny_model_and_processor(tmp_path)
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    plain = outputs(model, processor)
    add_lora(model, LoraSection(towers=["audio", "text"], rank=2), base=str(tmp_path / "base"), seed=0)
    stir(model)
    wanted = outputs(model, processor)
    assert not torch.allclose(wanted, plain, atol=1e-3)
    merged = merge_lora(model)
    assert not has_lora(merged) and has_lora(model)
    assert set(merged.state_dict()) == set(tiny_model_and_processor(tmp_path)[0].state_dict())
    assert torch.allclose(outputs(merged, processor), wanted, atol=1e-5)
    save_adapter(model, tmp_path / "adapter")
    assert all("lora_" in name for name in load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    theirs = PeftModel.from_pretrained(load_pretrained(tmp_path / "base")[0], str(tmp_path / "adapter"))
    assert torch.allclose(outputs(theirs.base_model.model, processor), wanted, atol=1e-5)
    ours, _ = load_pretrained(tmp_path / "adapter")
    assert not has_lora(ours)
    assert torch.allclose(outputs(ours, processor), wanted, atol=1e-5)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(ValueError, match="base"):
        load_pretrained(tmp_path / "adapter")


def test_layers_by_name(tmp_path):
    model, _ = tiny_model_and_processor(tmp_path)
    adapted(model, ["audio"], target_modules=["qkv"])
    names = {
        name.split(".lora_A")[0].rsplit(".", 1)[-1]
        for name, _ in model.named_parameters()
        if "lora_A" in name
    }
    assert names == {"qkv"}
    with pytest.raises(RecipeError, match=r"\['nothing'\]: no linear layer .* the names are \[.*'qkv'"):
        adapted(tiny_model_and_processor(tmp_path)[0], target_modules=["nothing"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A stage of whole weights, and one of adapters on top of it."""
    root = tmp_path_factory.mktemp("lora")
    recipe = tiny_recipe(root, write_captioned_folder(root / "sounds"))
    recipe["stages"].append({"name": "adapt", "training": {"lora": {"towers": ["audio"], "rank": 2}}})
    done = run_train(write_recipe(root / "recipe.yaml", recipe))
    return root, done


@pytest.mark.slow
def test_a_stage_of_adapters_leaves_a_whole_model_and_the_adapters(trained):
    root, done = trained
    stage = json.loads((root / "run" / "adapt" / "stage.json").read_text())
    assert stage["parameters"]["trained"] < 0.5 * stage["parameters"]["total"]
    assert f"{stage['parameters']['trained']:,} of" in done.stderr
    model = root / "run" / "adapt" / "model"
    assert set(weights_of(model)) == set(weights_of(root / "run" / "first" / "model"))
    settings = json.loads((model / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(root / "run" / "first" / "model")
    before, after = weights_of(root / "run" / "first" / "model"), weights_of(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(
        name.startswith(("audio_model", "audio_projection", "text_projection")) for name in changed
    )
    whole, processor = load_pretrained(model)
    apart, _ = load_pretrained(model / "adapter")
    assert torch.allclose(outputs(whole, processor), outputs(apart, processor), atol=1e-5)


@pytest.mark.slow
def test_a_killed_stage_of_adapters_ends_alike(trained, tmp_path):
    root, _ = trained
    run = tmp_path / "run"
    shutil.copytree(root / "run", run)
    adapt = run / "adapt"
    last = max(adapt.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(last)
    (adapt / "stage.json").unlink()
    # The recipe of the first run, going on in the copy.
    run_train(root / "recipe.yaml", "--output_dir", run)
    theirs = weights_of(root / "run" / "adapt" / last.name)
    ours = weights_of(last)
    assert any("lora_A" in name for name in ours) and set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_adapters_need_a_saved_model_and_a_tower_that_is_trained(tmp_path):
    recipe = tiny_recipe(tmp_path, write_captioned_folder(tmp_path / "sounds"))
    recipe["training"]["lora"] = {"towers": ["audio"]}
    done = run_train(write_recipe(tmp_path / "recipe.yaml", recipe), code=2)
    assert "stage 'first': training.lora needs a saved model to start from" in done.stderr
    recipe["training"] |= {"freeze": ["audio"]}
    done = run_train(write_recipe(tmp_path / "frozen.yaml", recipe), code=2)
    assert "lora.towers and freeze both name 'audio'" in done.stderr
