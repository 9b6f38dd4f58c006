"""The command lines of the inference commands: every official flag, what has no effect, wrong values."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT

from configs.paths_config import model_paths
from options.inference_options import (
    InferenceOptions,
    ReferenceOptions,
    SamOptions,
    SideBySideOptions,
    StyleMixingOptions,
    parse_inference_options,
)
from options.lifespan_options import LifespanOptions, parse_lifespan_options
from options.parser import build_parser, words
from options.target_ages import TargetAge, parse_target_ages
from utils.errors import InputError

COMMANDS = (InferenceOptions, SideBySideOptions, StyleMixingOptions, ReferenceOptions)
each_command = pytest.mark.parametrize("command", COMMANDS)
OFFICIAL = json.loads((ROOT / "tests" / "fixtures" / "official_flags.json").read_text(encoding="utf-8"))
NEEDED = ["--exp_dir=x", "--target_age=50", "--latent_mask=8,9"]  # by one command or another


def parse(*arguments: str, command: type[SamOptions] = InferenceOptions) -> Any:
    return parse_inference_options(command, ["--exp_dir=x", *arguments], "")


# ---------------------------------------------------------------- flags


@each_command
@pytest.mark.parametrize("repository", ["SAM", "MyTimeMachine"])
def test_every_command_takes_every_official_flag(command: type[SamOptions], repository: str) -> None:
    actions = build_parser(command)._option_string_actions
    for flag in OFFICIAL[repository]["inference scripts"]:
        action = actions[flag["flags"][0]]
        assert (action.nargs == 0, action.default) == (flag["switch"], flag["default"]), flag["flags"]


@pytest.mark.parametrize(
    ("command", "unread"),
    [
        (InferenceOptions, {"n_outputs_to_generate", "mix_alpha", "latent_mask", "ref_images_paths_file"}),
        (StyleMixingOptions, {"ref_images_paths_file", "sweep", "sweep_frames", "couple_outputs"}),
        (ReferenceOptions, {"n_outputs_to_generate", "sweep", "sweep_frames", "couple_outputs"}),
    ],
)
def test_what_a_command_does_not_read(command: type[SamOptions], unread: set[str]) -> None:
    assert {flag.name for flag in command.unread} == unread


@each_command
def test_flags_without_effect_are_named(
    command: type[SamOptions], capsys: pytest.CaptureFixture[str]
) -> None:
    parse_inference_options(command, [*NEEDED, "--ref_images_paths_file=list.txt", "--couple_outputs"], "")
    note = capsys.readouterr().err
    unread = {flag.name for flag in command.unread}
    for name in ("latent_mask", "ref_images_paths_file", "couple_outputs"):
        assert (f"--{name}" in note) == (name in unread)
    parse_inference_options(command, [*NEEDED[:2], *NEEDED[2:] * ("latent_mask" not in unread)], "")
    assert not capsys.readouterr().err


# ---------------------------------------------------------------- values


def test_target_ages() -> None:
    assert parse_target_ages("0, 62.5,uniform_random") == [
        TargetAge("0", 0.0),
        TargetAge("62.5", 62.5),
        TargetAge("uniform_random", None),
    ]
    assert [target.years for target in parse_target_ages(None)] == [float(age) for age in range(0, 101, 10)]


def test_relative_target_ages() -> None:
    assert parse_target_ages("+20,-15,30", allow_relative=True) == [
        TargetAge("+20", 20.0, relative=True),
        TargetAge("-15", -15.0, relative=True),
        TargetAge("30", 30.0),
    ]
    with pytest.raises(InputError, match="-15 is outside 0 to 100"):
        parse_target_ages("-15")
    assert words(["--target_age", "-15,+20", "--align"]) == ["--target_age=-15,+20", "--align"]
    assert words(["--target_age", "15", "--n_images", "3"]) == ["--target_age", "15", "--n_images", "3"]


def test_without_a_checkpoint_the_bundled_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert Path(parse().checkpoint) == ROOT / "pretrained_models" / "demo" / "sam.pt"
    assert "bundled demonstration model" in capsys.readouterr().out
    assert parse("--checkpoint_path=mine.pt").checkpoint == "mine.pt"
    assert not capsys.readouterr().out


def test_the_home_folder_in_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("--checkpoint_path=~/mine.pt").checkpoint == str(tmp_path / "mine.pt")


def test_a_life_span_takes_the_model_that_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = str(ROOT / "README.md")
    for official, wanted in ((here, here), ("missing.pt", model_paths["demo_sam"])):
        monkeypatch.setitem(model_paths, "sam_ffhq_aging", official)
        opts = parse_lifespan_options(["--img_dir=photos"], "")
        assert opts.checkpoint == wanted and opts.photos == "photos"
        assert opts.folder == Path("output_helper") / Path(wanted).stem
        assert f"no --model_path: using {wanted}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [*COMMANDS, LifespanOptions])
def test_options_cannot_be_changed(command: type[SamOptions] | type[LifespanOptions]) -> None:
    if issubclass(command, SamOptions):
        opts: Any = parse_inference_options(command, NEEDED, "")
    else:
        opts = parse_lifespan_options(["--img_dir=photos"], "")
    with pytest.raises(AttributeError):
        opts.target_age = "10"


# ---------------------------------------------------------------- wrong values


BAD_OPTIONS = {
    "no age": (["--target_age=abc"], "'abc' is no age"),
    "too old": (["--target_age=130"], "130 is outside 0 to 100"),
    "far away": (["--target_age=-101"], "-101 is more than 100 years away"),
    "age of the input": (["--target_age=+5", "--input_age=120"], "--input_age: 120 is outside 0 to 100"),
    "negative style": (["--latent_mask=8,-1"], "--latent_mask: 8,-1: give indices of styles"),
    "no style": (["--latent_mask=8,"], "--latent_mask: 8,: give indices of styles"),
    "no mixtures": (["--n_outputs_to_generate=0"], "--n_outputs_to_generate: 0 is less than 1"),
    "alpha": (["--mix_alpha=nan"], "--mix_alpha: nan is not a finite number"),
    "one frame": (["--sweep_frames=1"], "--sweep_frames: 1 is less than 2"),
    "sweep of one age": (["--sweep=gif", "--target_age=10"], "--sweep needs at least two target ages"),
    "crop": (["--crop=wide"], "argument --crop: invalid choice: 'wide'"),
    "not a number": (["--target_age=nan"], "outside 0 to 100"),
    "empty entry": (["--target_age=10,,20"], "'' is no age"),
    "twice": (["--target_age=10,10"], "names 10 twice"),
    "no batch": (["--test_batch_size=0"], "--test_batch_size: 0 is less than 1"),
    "no photos": (["--n_images=0"], "--n_images: 0 is less than 1"),
    "text for a number": (["--test_workers=many"], "--test_workers: 'many' is not a whole number"),
    "unknown flag": (["--targetage=10"], "unrecognized arguments: --targetage=10"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options(arguments: list[str], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(*arguments)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@each_command
def test_exp_dir_is_needed(command: type[SamOptions]) -> None:
    with pytest.raises(InputError, match="--exp_dir=DIR is needed"):
        parse_inference_options(command, [], "")


def test_alignment_without_its_landmarks_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.faces.alignment._PREDICTOR", "missing.dat")
    with pytest.raises(InputError, match="missing.dat was not found; run: pip install"):
        parse("--align")
