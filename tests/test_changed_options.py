"""Options and pictures that differ from those a run was begun with: applied, said, kept or refused."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import training_toys as toys

from options.train_options import COACHES, options_class
from training import earlier_run
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.typed_options import flags_of


@pytest.fixture(scope="module")
def begun(files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of one step of every coach."""
    folder = tmp_path_factory.mktemp("begun")
    for coach in COACHES:
        toys.train(toys.arguments(coach, files, folder / coach, "--max_steps=1", "--val_interval=0"))
    return {coach: folder / coach for coach in COACHES}


@pytest.fixture
def go_on(begun: dict[str, Path], files: SimpleNamespace, tmp_path: Path) -> Any:
    """Continues a copy of such a run; returns its folder."""

    def go_on(coach: str, *more: str, steps: int = 2) -> Path:
        shutil.copytree(begun[coach], tmp_path / coach, dirs_exist_ok=True)
        command = toys.arguments(coach, files, tmp_path / coach, f"--max_steps={steps}", "--val_interval=0")
        toys.train([*command, *more])
        return toys.run_folder(coach, tmp_path / coach)

    return go_on


def state_of(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints/resume_state.pt")


def test_the_rules_name_options_that_exist() -> None:
    known = {item.name for coach in COACHES for _, item in flags_of(options_class(coach))}
    rules = [earlier_run.APPLIED, earlier_run.KEPT, earlier_run.REFUSED]
    assert not set().union(*rules) - known
    assert sum(map(len, rules)) == len(set().union(*rules))


NEEDED = {
    "psp": ["--l2_lambda=1"],
    "sam": ["--l2_lambda=1"],
    "mytimemachine": ["--l2_lambda=1", "--checkpoint_path=z"],
}


@pytest.mark.parametrize("coach", COACHES)
def test_every_option_is_applied_said_kept_or_refused(coach: str, tmp_path: Path) -> None:
    """Another value of each option in turn."""
    kind = options_class(coach)
    opts = toys.parse_train_options(
        [f"--coach={coach}", "--exp_dir=x", "--train_dataset=y", *NEEDED.get(coach, ())]
    )
    now = earlier_run.settings(opts)
    assert "exp_dir" not in now and now.keys() >= {item.name for _, item in flags_of(kind)} - {"exp_dir"}
    for _, item in flags_of(kind):
        if item.name == "exp_dir":
            continue
        earlier = {**now, item.name: "another"}
        if item.name in earlier_run.REFUSED:
            with pytest.raises(InputError, match=f"--{item.name}=.*: the run in .* was begun with another"):
                earlier_run.reconciled(opts, earlier, 7, tmp_path)
            continue
        record, notes = earlier_run.reconciled(opts, earlier, 7, tmp_path)
        if item.name in earlier_run.APPLIED:
            assert record == now and not notes
        elif item.name in earlier_run.KEPT:
            assert record == earlier and "has no effect" in notes[0] and f"--{item.name}=" in notes[0]
        else:
            assert record == now and len(notes) == 1
            assert notes[0].startswith(f"--{item.name} is ") and "from step 8 on" in notes[0]
    assert len(fields(kind)) > 10


RATES = {
    "stylegan2": ["--learning_rate=7e-4", "--discriminator_learning_rate=3e-4"],
    "age_classifier": ["--learning_rate=7e-4", "--weight_decay=0.3"],
    "psp": ["--learning_rate=7e-4"],
    "mytimemachine": ["--learning_rate=7e-4"],
}


@pytest.mark.parametrize("coach", RATES)
def test_another_learning_rate_is_used(coach: str, go_on: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = go_on(coach, *RATES[coach])
    said, options = capsys.readouterr().err, json.loads((run / "opt.json").read_text(encoding="utf-8"))
    groups = {name: state["param_groups"][0] for name, state in state_of(run)["optimizers"].items()}
    main = groups.get("main", groups.get("g"))
    for flag in RATES[coach]:
        name, value = flag[2:].split("=")
        assert f"note: --{name} is {float(value):g} from step 2 on; it was " in said
        assert options[name] == float(value)
    if coach == "stylegan2":
        # lazy regularisation scales both, see criteria.gan_losses.lazy_adam_settings
        assert main["lr"] == pytest.approx(7e-4 * 4 / 5) and groups["d"]["lr"] == pytest.approx(3e-4 * 4 / 5)
    elif coach == "age_classifier":
        assert main["weight_decay"] == 0.3 and main["lr"] < 7e-4  # a schedule begins at it
    else:
        assert main["lr"] == 7e-4


def test_start_files_are_kept_and_networks_refused(
    go_on: Any, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(files.sam, tmp_path / "other.pt")
    run = go_on("mytimemachine", f"--checkpoint_path={other}")
    assert f"--checkpoint_path={other} has no effect: the run goes on from its own" in capsys.readouterr().err
    assert json.loads((run / "opt.json").read_text(encoding="utf-8"))["checkpoint_path"] == files.sam
    assert load_checkpoint(run / "checkpoints/iteration_2.pt")["opts"]["checkpoint_path"] == files.sam
    for flag in ("--n_bottleneck=16", "--optim_name=adam"):
        with pytest.raises(InputError, match=f"{flag}: the run in .* was begun with"):
            go_on("mytimemachine", flag, steps=3)


# ---------------------------------------------------------------- pictures


def test_another_person_is_refused_and_a_moved_folder_is_not(
    go_on: Any, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(files.faces, tmp_path / "moved")
    go_on("mytimemachine", f"--train_dataset={moved}")
    assert "note:" not in capsys.readouterr().err
    for change in (lambda: (moved / "20_0.png").unlink(), lambda: toys.make_faces(moved, (21, 34), size=50)):
        change()
        with pytest.raises(InputError, match="pictures in .*moved are not the 8 that the run .*--exp_dir"):
            go_on("mytimemachine", f"--train_dataset={moved}", steps=3)
    go_on("psp", f"--train_dataset={moved}")
    assert "are not the 8 that the run was begun with; it goes on with the new" in capsys.readouterr().err


@pytest.mark.parametrize("coach", COACHES)
@pytest.mark.parametrize("linked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_own_sheets_are_no_training_pictures(
    coach: str, linked: bool, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run folder lies among the pictures, or a link to it does."""
    data = shutil.copytree(files.people if coach == "identity" else files.faces, tmp_path / "data")
    place = tmp_path / "results" if linked else data / "results"
    if linked:
        (data / "link").symlink_to(place, target_is_directory=True)
    more = (f"--train_dataset={data}", f"--test_dataset={data}", "--image_interval=1", "--val_interval=0")
    more = more if coach != "stylegan2" else (more[0], *more[2:])
    command = toys.arguments(coach, files, place, *more)
    toys.train([*command, "--max_steps=1"])
    run = toys.run_folder(coach, place)
    count = state_of(run)["record"]["data"]["pictures"]
    toys.train([*command, "--max_steps=2"])
    assert state_of(run)["record"]["data"]["pictures"] == count
    sheets = list(place.rglob("*.jpg"))
    assert bool(sheets) == (coach not in ("age_classifier", "identity"))
    if sheets:
        assert "where this command writes its results" in capsys.readouterr().err
