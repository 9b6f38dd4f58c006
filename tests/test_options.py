"""The training command line: official commands, presets, contradictions, and the frozen list of flags."""

import argparse
import ast
import json
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, NoReturn

import pytest
from commands import ROOT, script_main

from options.parser import Parser
from options.train_options import (
    COACHES,
    build_train_parser,
    choose_coach,
    options_class,
    parse_train_options,
)
from utils.errors import InputError

FIXTURES = ROOT / "tests" / "fixtures"
OFFICIAL = json.loads((FIXTURES / "official_flags.json").read_text(encoding="utf-8"))

SAM_COMMAND = (
    "--dataset_type=ffhq_aging --exp_dir=/path/to/experiment --workers=6 --batch_size=6 --test_batch_size=6 "
    "--test_workers=6 --val_interval=2500 --save_interval=10000 --start_from_encoded_w_plus --id_lambda=0.1 "
    "--lpips_lambda=0.1 --lpips_lambda_aging=0.1 --lpips_lambda_crop=0.6 --l2_lambda=0.25 "
    "--l2_lambda_aging=0.25 --l2_lambda_crop=1 --w_norm_lambda=0.005 --aging_lambda=5 --cycle_lambda=1 "
    "--input_nc=4 --target_age=uniform_random --use_weighted_id_loss"
)
MYTIMEMACHINE_COMMAND = (
    "--dataset_type=ffhq_aging --workers=6 --batch_size=4 --test_batch_size=4 --test_workers=6 "
    "--val_interval=1000 --save_interval=2000 --start_from_encoded_w_plus --id_lambda=0.1 --lpips_lambda=0.1 "
    "--lpips_lambda_aging=0.1 --lpips_lambda_crop=0.6 --l2_lambda=0.25 --l2_lambda_aging=0.25 "
    "--l2_lambda_crop=1 --w_norm_lambda=0.005 --aging_lambda=5 --cycle_lambda=1 --input_nc=4 "
    "--target_age=uniform_random --use_weighted_id_loss --checkpoint_path=/path/to/sam_ffhq_aging.pt "
    "--train_dataset=/path/to/training_data --exp_dir=/path/to/experiment --train_encoder "
    "--adaptive_w_norm_lambda=7"
)
# What each coach cannot do without; the official flags of SAM and MyTimeMachine are all optional but these.
NEEDED = {
    "stylegan2": ["--exp_dir=e", "--train_dataset=d"],
    "latent_encoder": ["--exp_dir=e"],
    "reaging_gan": ["--exp_dir=e", "--train_dataset=d"],
    "age_classifier": ["--exp_dir=e", "--train_dataset=d"],
    "identity": ["--exp_dir=e", "--train_dataset=d"],
    "psp": ["--exp_dir=e", "--l2_lambda=1"],
    "sam": ["--exp_dir=e", "--l2_lambda=1"],
    "mytimemachine": ["--exp_dir=e", "--checkpoint_path=sam.pt"],
}


def parse(coach: str, *arguments: str) -> Any:
    return parse_train_options([f"--coach={coach}", *NEEDED[coach], *arguments])


# ---------------------------------------------------------------- official commands


def test_official_sam_command() -> None:
    opts = parse_train_options(SAM_COMMAND.split())
    assert opts.coach == "sam"
    assert (opts.batch_size, opts.workers, opts.val_interval, opts.save_interval) == (6, 6, 2500, 10000)
    assert (opts.w_norm_lambda, opts.l2_lambda_crop, opts.target_age) == (0.005, 1.0, "uniform_random")
    assert opts.start_from_encoded_w_plus and opts.use_weighted_id_loss and not opts.train_decoder
    assert (opts.max_steps, opts.output_size, opts.optim_name) == (500_000, 1024, "ranger")


def test_official_mytimemachine_command() -> None:
    opts = parse_train_options(MYTIMEMACHINE_COMMAND.split())
    assert opts.coach == "mytimemachine"
    assert (opts.adaptive_w_norm_lambda, opts.nearest_neighbor_id_loss_lambda) == (7.0, 1.0)
    assert (opts.max_steps, opts.save_interval, opts.record()["train_encoder"]) == (15_000, 2000, True)
    assert opts.checkpoint_path == "/path/to/sam_ffhq_aging.pt"


SAMPLES = {"int": "8", "float": "0.5", "str": "text"}
WORDS = {
    "--optim_name": "adam",
    "--target_age": "62.5",
    "--dataset_type": "ffhq_aging",
    "--output_size": "512",
}
CONFLICTING = {"--start_from_latent_avg", "--train_decoder", "--input_nc"}


@pytest.mark.parametrize(("repository", "coach"), [("SAM", "sam"), ("MyTimeMachine", "mytimemachine")])
@pytest.mark.parametrize("joined", [True, False])
def test_every_official_flag_parses_unchanged(repository: str, coach: str, joined: bool) -> None:
    arguments, expected = [], {}
    for flag in OFFICIAL[repository]["scripts/train.py"]:
        name = flag["flags"][0]
        if name in CONFLICTING:
            continue
        text = WORDS.get(name, SAMPLES.get(flag["type"], ""))
        value = True if flag["switch"] else {"int": int, "float": float, "str": str}[flag["type"]](text)
        expected[name.removeprefix("--")] = value
        if flag["switch"]:
            arguments.append(name)
        else:
            arguments += [f"{name}={text}"] if joined else [name, text]
    opts = parse_train_options(arguments)
    assert opts.coach == coach
    recorded = opts.record()
    assert {name: recorded[name] for name in expected} == expected


def test_train_decoder_is_an_official_flag_of_sam() -> None:
    assert parse("sam", "--train_decoder").train_decoder


# ---------------------------------------------------------------- which coach


@pytest.mark.parametrize(
    ("arguments", "coach"),
    [
        ([], "sam"),
        (["--adaptive_w_norm_lambda=7"], "mytimemachine"),
        (["--adaptive_w_norm_lambda", "10"], "mytimemachine"),
        (["--coach=psp"], "psp"),
        (["--coach", "stylegan2", "--unknown"], "stylegan2"),
        (["--coach=sam", "--coach=identity"], "identity"),
    ],
)
def test_choice_of_coach(arguments: list[str], coach: str) -> None:
    assert choose_coach(arguments) == coach


def test_preset_chooses_the_coach(tmp_path: Path) -> None:
    preset = tmp_path / "my.args"
    preset.write_text("--adaptive_w_norm_lambda=5  # of the authors\n")
    assert choose_coach([f"@{preset}"]) == "mytimemachine"


# ---------------------------------------------------------------- presets


def test_later_flags_win(tmp_path: Path) -> None:
    preset = tmp_path / "my.args"
    preset.write_text("# a comment\n--coach=sam\n\n--batch_size=8 --l2_lambda=1  # two on a line\n--seed 3\n")
    opts = parse_train_options([f"@{preset}", "--exp_dir=e"])
    assert (opts.batch_size, opts.l2_lambda, opts.seed) == (8, 1.0, 3)
    opts = parse_train_options([f"@{preset}", "--exp_dir=e", "--batch_size=2"])
    assert opts.batch_size == 2
    opts = parse_train_options(["--batch_size=2", f"@{preset}", "--exp_dir=e"])
    assert opts.batch_size == 8


PRESETS = sorted((ROOT / "configs").rglob("*.args"))


def test_every_coach_has_a_preset() -> None:
    assert {choose_coach([f"@{preset}"]) for preset in PRESETS} == set(COACHES)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_gives_way_to_the_command_line(preset: Path) -> None:
    folders = ["--exp_dir=e", "--train_dataset=d"]
    plain = parse_train_options([f"@{preset}", *folders]).record()
    changed = parse_train_options([f"@{preset}", *folders, "--max_steps=7", "--seed=99"]).record()
    assert {name for name in plain if plain[name] != changed[name]} == {"max_steps", "seed"}


# ---------------------------------------------------------------- one sentence for what cannot be

WRONG = [
    ("sam", ["--unknown=1"], "unrecognized arguments: --unknown=1"),
    ("sam", ["--batch=4"], "unrecognized arguments: --batch=4"),
    ("sam", ["--adaptive_w_norm_lambda=7"], "unrecognized arguments: --adaptive_w_norm_lambda=7"),
    ("sam", ["--batch_size=0"], "--batch_size: 0 is less than 1"),
    ("sam", ["--batch_size=four"], "--batch_size: 'four' is not a whole number"),
    ("sam", ["--seed=-1"], "--seed: -1 is less than 0"),
    ("sam", ["--val_interval=-5"], "--val_interval: -5 is less than 0"),
    ("sam", ["--learning_rate=0"], "--learning_rate: must be above 0"),
    ("sam", ["--learning_rate=nan"], "--learning_rate: nan is not a finite number"),
    ("sam", ["--id_lambda=-1"], "--id_lambda: -1 is less than 0"),
    ("sam", ["--optim_name=sgd"], "--optim_name: invalid choice: 'sgd'"),
    ("sam", ["--target_age=abc"], "--target_age: 'abc' is no age; give years"),
    ("sam", ["--target_age=130"], "--target_age: 130 is outside 0 to 100 years"),
    ("sam", ["--target_age=20,30"], "--target_age=20,30: one age in years or uniform_random is needed"),
    ("sam", ["--target_age=nan"], "--target_age: nan is outside 0 to 100 years"),
    ("sam", ["--input_nc=3"], "--input_nc=3: SAM's encoder reads RGB and an age plane"),
    ("sam", ["--start_from_latent_avg", "--start_from_encoded_w_plus"], "exclude each other"),
    ("sam", ["--encoder_start=prior"], "--encoder_start=prior needs --start_from_encoded_w_plus"),
    ("sam", ["--l2_lambda=0"], "no loss has a weight; give at least one of"),
    ("sam", ["--l2_lambda=0", "--cycle_lambda=1"], "no loss has a weight"),
    ("sam", ["--output_size=100"], "--output_size=100 is not a power of two"),
    ("sam", ["--output_size=2048"], "needs --channels: the official table ends at 1024"),
    ("sam", ["--channels=4:8,8:8"], "--channels=4:8,8:8 has no entry for 16 pixels"),
    ("sam", ["--encoder_channels=1,2"], "--encoder_channels=1,2: give 5 numbers, not 2"),
    ("sam", ["--encoder_units=1,2,x,2"], "--encoder_units=1,2,x,2: give integers separated by commas"),
    ("sam", ["--dataset_type=cars"], "--dataset_type: invalid choice: 'cars'"),
    ("stylegan2", ["--output_size=4"], "--output_size=4 is not a power of two of at least 8"),
    ("stylegan2", ["--channels=4-8"], "--channels=4-8: give resolution:channels pairs"),
    ("stylegan2", ["--channels=4:0"], "every resolution needs at least one channel"),
    ("stylegan2", ["--batch_size=6"], "--batch_size=6: the discriminator takes 1-4 pictures or a multiple"),
    ("stylegan2", ["--checkpoint_path=a", "--grow_from=b"], "--checkpoint_path and --grow_from exclude"),
    ("stylegan2", ["--mixing=1.5"], "--mixing: 1.5 does not lie between 0 and 1"),
    ("psp", ["--adversarial_lambda=1", "--batch_size=6"], "the discriminator takes"),
    ("psp", ["--checkpoint_path=a", "--grow_from=b"], "--checkpoint_path and --grow_from exclude"),
    ("psp", ["--learning_rate_schedule=line"], "--learning_rate_schedule: invalid choice: 'line'"),
    ("sam", ["--adversarial_lambda=1", "--batch_size=6"], "the discriminator takes"),
    ("sam", ["--discriminator_every=0"], "--discriminator_every: 0 is less than 1"),
    ("psp", ["--decoder_learning_rate=1e-4"], "--decoder_learning_rate needs --train_decoder"),
    ("psp", ["--input_nc=4"], "--input_nc=4: the encoder of pSp reads RGB"),
    ("psp", ["--l2_lambda=0"], "no loss has a weight"),
    ("mytimemachine", ["--checkpoint_path="], "--checkpoint_path is needed: the SAM checkpoint"),
    ("mytimemachine", ["--train_decoder"], "--train_decoder does not go with personalisation"),
    ("mytimemachine", ["--target_age=abc"], "--target_age: 'abc' is no age"),
    ("mytimemachine", ["--recipe=mine"], "--recipe: invalid choice: 'mine'"),
    ("age_classifier", ["--batch_size=1"], "--batch_size=1: the norms of the network need"),
    ("age_classifier", ["--data_share=60"], "--data_share=60: give two percentages"),
    ("age_classifier", ["--data_share=60-10"], "--data_share=60-10: the percentages must rise"),
    ("age_classifier", ["--network_depths=1,1"], "--network_depths=1,1: give 5 numbers, not 2"),
    ("age_classifier", ["--input_size=16"], "--input_size=16: --network=vgg needs at least 32"),
    ("reaging_gan", ["--output_size=48"], "--output_size=48 is not a power of two from 16 to 1024"),
    ("reaging_gan", ["--age_groups=0-50"], "--age_groups=0-50: at least two are needed"),
    ("reaging_gan", ["--age_groups=young"], "--age_groups: 'young' is no age group"),
    ("reaging_gan", ["--masks=files"], "--masks=files and --mask_folder go together"),
    ("reaging_gan", ["--mask_folder=m"], "--masks=files and --mask_folder go together"),
    ("reaging_gan", ["--decay=0"], "--decay: must be above 0"),
    ("reaging_gan", ["--adversarial_lambda=0", "--cycle_lambda=0", "--rec_lambda_later=0"], "no loss has a"),
    ("identity", ["--network=ir_se", "--network_channels=0,1,1,1,1"], "the numbers must be at least 1"),
    ("identity", ["--kind=age_classifier"], "--kind: invalid choice: 'age_classifier'"),
]


@pytest.mark.parametrize(("coach", "arguments", "message"), WRONG, ids=lambda item: str(item)[:50])
def test_wrong_command_line(coach: str, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(coach, *arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --exp_dir"),
        (["--coach=dog"], "--coach: invalid choice: 'dog'"),
        (["@no/such.args"], "@no/such.args: no such preset"),
        (["--coach=stylegan2", "--exp_dir=e"], "the following arguments are required: --train_dataset"),
    ],
)
def test_missing_arguments(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_train_options(arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def run_train(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_wrong_command_line_is_one_sentence_and_code_2() -> None:
    result = run_train("--exp_dir=e", "--coach=psp", "--l2_lambda=1", "--decoder_learning_rate=1e-3")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: --decoder_learning_rate needs --train_decoder")
    assert result.stderr.count("\n") == 1


def test_dry_run_prints_the_options_and_leaves_nothing(tmp_path: Path) -> None:
    result = run_train(f"--exp_dir={tmp_path / 'run'}", "--l2_lambda=1", "--dry_run", "--max_steps=3")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert (printed["coach"], printed["max_steps"], printed["l2_lambda"]) == ("sam", 3, 1.0)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the list of flags


@pytest.mark.parametrize("coach", COACHES)
def test_flags_are_deliberate(coach: str) -> None:
    """A flag that comes or goes is a decision: change `fixtures/train_flags.json` with it."""
    frozen = json.loads((FIXTURES / "train_flags.json").read_text(encoding="utf-8"))
    assert sorted(build_train_parser(coach)._option_string_actions) == frozen[coach]


@pytest.mark.parametrize("coach", COACHES)
def test_help_is_whole(coach: str) -> None:
    """Every flag says what it does and shows its default; of the unread ones only the official are shown."""
    parser = build_train_parser(coach)
    text = parser.format_help()
    unread = {f"--{flag.name}": flag for flag in options_class(coach).unread}
    for name, action in parser._option_string_actions.items():
        hidden = name in unread and not unread[name].official
        assert (re.search(rf"{name}\b", text) is None) == hidden, name
        assert action.help, name
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS and not action.required]
    assert len(re.findall(r"\(default:", text)) == len(shown) - 1  # all but --help


@pytest.mark.parametrize("coach", COACHES)
def test_every_option_of_a_coach_is_read(coach: str) -> None:
    """By its name, somewhere in the rooms that a training passes through."""
    rooms = [ROOT / room for room in ("criteria", "options", "training", "scripts/train.py")]
    files = [path for room in rooms for path in ([room] if room.is_file() else room.rglob("*.py"))]
    read = {
        node.attr
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    own = {item.name for item in fields(options_class(coach)) if "flag" in item.metadata}
    assert not own - read


def test_flags_without_effect_are_named_in_one_note(capsys: pytest.CaptureFixture[str]) -> None:
    opts = parse("mytimemachine", "--encoder_size=64", "--gpus=2", "--start_from_encoded_w_plus")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].endswith("have no effect here")
    assert {"--encoder_size,", "--gpus,", "--start_from_encoded_w_plus"} & set(lines[0].split())
    assert not hasattr(opts, "encoder_size") and opts.record()["encoder_size"] == 64
    parse("mytimemachine")
    assert capsys.readouterr().err == ""


def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    opts = parse("sam", "--train_dataset=~/faces", "--checkpoint_path=~/sam.pt")
    assert (opts.train_dataset, opts.checkpoint_path) == ("/home/someone/faces", "/home/someone/sam.pt")


def test_misspelt_options_are_errors() -> None:
    """For a reader at once, and for `make lint` before anything runs."""
    opts = parse("sam")
    with pytest.raises(AttributeError):
        _ = opts.adverserial_lambda
    with pytest.raises(FrozenInstanceError):
        opts.batch_size = 7


def test_a_misspelt_option_stops_the_type_check(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from options.sam_options import SAMOptions\n\n\n"
        "def share(opts: SAMOptions) -> float:\n    return opts.adverserial_lambda\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(wrong)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=250)
    assert result.returncode == 1 and 'has no attribute "adverserial_lambda"' in result.stdout


SCRIPTS = sorted({path.stem for path in (ROOT / "scripts").glob("*.py")} - {"_bootstrap", "train"})


class Built(Exception):  # noqa: N818
    """A command has built its parser."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_of_every_command_is_explained(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(parser: Parser, *arguments: object, **settings: object) -> NoReturn:
        raise Built(parser)

    monkeypatch.setattr(Parser, "parse_known_args", stop)  # which `parse_args` calls
    with pytest.raises(Built) as built:
        script_main(script)([])
    actions = built.value.args[0]._actions
    assert len(actions) > 1 and all(action.help for action in actions)
