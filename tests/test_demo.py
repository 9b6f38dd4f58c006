"""The demo and the recipe of its weights: what they run, what they leave, what they refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import training_toys as toys
from commands import run
from PIL import Image

from configs.demo_stages import STAGES
from configs.paths_config import dataset_paths, model_paths
from inference.invented_person import spaced_ages
from options.parser import parse_options
from options.train_options import parse_train_options
from options.weights_options import DemoWeightsOptions
from training import demo_recipe
from utils.errors import InputError
from utils.files.checkpoints import halved, load_checkpoint

SUMMARY = ("overall", "training_range", "per_age", "pairs")


def test_demo_leaves_picture_table_and_figures(tmp_path: Path) -> None:
    done = run("demo", f"--exp_dir={tmp_path}", "--max_steps=2", "--device=cpu")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "00000" / "checkpoints" / "iteration_2.pt").is_file()
    with Image.open(tmp_path / "life_span.png") as picture:
        assert picture.width > picture.height > 3 * 64
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    # two steps of an adapter that starts at zero: next to nothing has moved yet
    assert abs(figures["overall"]["gain"]["similarity"]) < 0.02
    assert set(figures["judges"]) == {"age", "identity"}
    assert set(figures) == {*SUMMARY, "inside_training_range", "outside_training_range", "judges"}
    assert figures["training_range"] == [20, 60]
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "personalised" in table and table in done.stdout
    assert f"Over global SAM: identity {figures['overall']['gain']['similarity']:+.3f}" in done.stdout


def test_demo_person_is_complete() -> None:
    person = Path(dataset_paths["demo_person"])
    ages = {
        name: [int(p.stem.split("_")[0]) for p in (person / name).glob("*.png")]
        for name in ("train", "held_out")
    }
    assert len(ages["train"]) + len(ages["held_out"]) >= 45
    assert (min(ages["train"]), max(ages["train"])) == (20, 60)
    assert max(ages["held_out"]) == 75


def test_demo_without_weights_is_one_sentence(tmp_path: Path) -> None:
    done = run("demo", f"--checkpoint_path={tmp_path / 'no.pt'}", f"--exp_dir={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_ages_are_spread_over_the_range() -> None:
    assert spaced_ages(5, (20, 60)) == [20, 30, 40, 50, 60]


def test_every_stage_has_a_preset_and_a_command(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    arguments = [f"--data={tmp_path / 'data'}", "--steps_scale=0.01", f"--runs={tmp_path}"]
    options = parse_options(DemoWeightsOptions, arguments)
    assert options.stages == tuple(STAGES)
    for name in options.stages:
        weights = tmp_path / name / "checkpoints" / "iteration_7.pt"
        for needed in STAGES[name].runs.values():
            with pytest.raises(InputError, match=f"no weights in .*{needed}.*; train that stage first"):
                demo_recipe.train_command(name, options)
            (tmp_path / needed / "checkpoints").mkdir(parents=True)
            (tmp_path / needed / "checkpoints" / "iteration_7.pt").touch()
        command = demo_recipe.train_command(name, options)
        parsed = parse_train_options(command[2:])
        assert parsed.max_steps == round(0.01 * demo_recipe.preset_steps(STAGES[name].preset))
        assert not weights.exists()
    launched = demo_recipe.train_command("sam", replace(options, processes=2))
    assert launched[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def test_psp_run_becomes_the_bundled_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The generator that pSp trained is a StyleGAN2 to go on from, with a new discriminator."""
    files = toys.make_files(tmp_path / "files")
    joint = ("--train_decoder", "--adversarial_lambda=0.1", "--max_steps=1")
    toys.train(toys.arguments("psp", files, tmp_path / "psp", *joint))
    folders = [f"--data={files.faces}", f"--runs={tmp_path}", f"--output_dir={tmp_path}"]
    demo_recipe.export_stage("psp", parse_options(DemoWeightsOptions, folders))
    stylegan2 = load_checkpoint(tmp_path / "stylegan2.pt")
    assert not (tmp_path / "psp.pt").exists()
    assert stylegan2["g_ema"]["conv1.conv.weight"].dtype == torch.float16
    trained = load_checkpoint(demo_recipe.newest_weights(tmp_path / "psp"))
    assert "d" in trained and "d" not in stylegan2
    for key in ("convs.0.conv.weight", "to_rgbs.0.bias", "noises.noise_1"):
        torch.testing.assert_close(stylegan2["g_ema"][key], halved(trained["state_dict"][f"decoder.{key}"]))
    more = (f"--checkpoint_path={tmp_path / 'stylegan2.pt'}", "--max_steps=1")
    toys.train(toys.arguments("stylegan2", files, tmp_path / "gan", *more))
    assert "has no discriminator; a new one begins" in capsys.readouterr().err
    with pytest.raises(InputError, match="has no discriminator; --grow_from takes both networks"):
        larger = (
            "--output_size=32",
            "--channels=4:8,8:8,16:8,32:8",
            f"--grow_from={tmp_path / 'stylegan2.pt'}",
        )
        toys.coach(toys.arguments("stylegan2", files, tmp_path / "grown", *larger))


def test_exported_options_name_no_folder_of_the_machine() -> None:
    bundled = str(demo_recipe.REPOSITORY / "pretrained_models" / "demo" / "sam.pt")
    options = {"a": "/home/me/faces", "b": ("/x/y.pt", bundled), "c": bundled, "d": 3, "e": "plain"}
    inside = "pretrained_models/demo/sam.pt"
    assert demo_recipe.portable(options) == {
        "a": "faces",
        "b": ["y.pt", inside],
        "c": inside,
        "d": 3,
        "e": "plain",
    }


def test_unknown_stage_and_missing_folder_are_one_sentence(tmp_path: Path) -> None:
    for arguments in (["--data=/no/such/folder"], [f"--data={tmp_path}", "--only=psq"]):
        done = run("make_demo_weights", *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


def test_bundled_files_are_half_precision_and_whole() -> None:
    for name, path in model_paths.items():
        if name.startswith("demo_"):
            checkpoint = load_checkpoint(path)
            state = checkpoint.get("g_ema") or checkpoint["state_dict"]
            assert any(value.dtype == torch.float16 for value in state.values()), name
            options = checkpoint.get("opts") or {}
            paths = [value for value in options.values() if isinstance(value, str) and "/" in value]
            assert all(value.startswith("pretrained_models/demo/") for value in paths), (name, paths)
    generator = load_checkpoint(model_paths["demo_stylegan2"])
    assert {"g", "g_ema", "latent_avg"} <= set(generator) and "d" not in generator
    sam = load_checkpoint(model_paths["demo_sam"])["state_dict"]  # both have the noise of one generator
    noise = [name for name in generator["g"] if demo_recipe.is_noise(f"decoder.{name}")]
    assert len(noise) == 22 and all(
        torch.equal(generator["g"][name], sam[f"decoder.{name}"]) for name in noise
    )


def test_halved_reaches_nested_tensors() -> None:
    content = halved({"a": {"b": torch.ones(2, 2), "c": torch.ones(2)}, "n": 1})
    assert content["a"]["b"].dtype == torch.float16 and content["a"]["c"].dtype == torch.float32
    assert content["n"] == 1
