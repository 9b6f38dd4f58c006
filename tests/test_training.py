"""Every coach through the real entry point: it learns, leaves its files, resumes exactly, stops cleanly."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import training_toys as toys
from commands import ROOT
from toy_networks import TINY_GENERATOR, tiny_psp

from models.aging_model import load_aging_model
from models.auxiliary import load_age_classifier, load_identity
from models.loading import subset
from models.psp import append_age
from models.psp_files import load_psp
from models.psp_start import load_generator
from options.train_options import COACHES
from utils.errors import STOPPED, InputError, StoppedError
from utils.files.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def runs(files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One finished run of 30 steps of every coach."""
    folder = tmp_path_factory.mktemp("runs")
    for coach in COACHES:
        toys.train(toys.arguments(coach, files, folder / coach, "--save_interval=20"))
    return {coach: toys.run_folder(coach, folder / coach) for coach in COACHES}


def state_of(run: Path, name: str = "iteration_30") -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / f"{name}.pt")


def tensors(content: Any, path: str = "") -> dict[str, torch.Tensor]:
    """All tensors of nested containers by path."""
    if isinstance(content, torch.Tensor):
        return {path: content}
    items = content.items() if isinstance(content, dict) else []
    return {name: found for key, value in items for name, found in tensors(value, f"{path}/{key}").items()}


def check_equal(first: Any, second: Any) -> None:
    """Asserts that two checkpoints hold the very same numbers."""
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys() and one
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, differing[:5]


# ---------------------------------------------------------------- it learns and leaves its files

FIGURES = {
    "stylegan2": "train/d_loss",
    "latent_encoder": "train/loss",
    "reaging_gan": "train/loss_rec",
    "age_classifier": "train/cross_entropy",
    "identity": "train/arcface",
    "psp": "train/loss",
    "sam": "test/loss",
    "mytimemachine": "test/loss_interpolation",
}


SHEETS = {
    "stylegan2": ["samples"],
    "latent_encoder": ["directed"],
    "reaging_gan": ["reaging"],
    "psp": ["test/faces/reconstruction"],
    "sam": ["test/faces/ages"],
    "mytimemachine": ["test/faces/ages"],
}


ADVERSARIAL = ("stylegan2", "reaging_gan")  # no figure tells the best model


@pytest.mark.parametrize("coach", COACHES)
def test_loss_falls(runs: dict[str, Path], coach: str) -> None:
    values = toys.scalars(runs[coach], FIGURES[coach])
    third = len(values) // 3
    assert sum(values[-third:]) < 0.99 * sum(values[:third]), values


@pytest.mark.parametrize("coach", COACHES)
def test_run_leaves_its_files(runs: dict[str, Path], coach: str) -> None:
    run = runs[coach]
    options = json.loads((run / "opt.json").read_text(encoding="utf-8"))
    assert options["coach"] == coach and options["max_steps"] == 30
    assert {"torch", "python", "git", "numpy"} <= options["environment"].keys()
    names = {path.stem for path in (run / "checkpoints").glob("*.pt")}
    expected = {"iteration_20", "iteration_30", "resume_state", "resume_state_previous"}
    assert names == expected | (set() if coach in ADVERSARIAL else {"best_model"})
    assert not [path for path in run.rglob("*") if path.suffix == ".tmp"]
    lines = (run / "checkpoints" / "timestamp.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(": ")[1] for line in lines if "iteration" in line] == ["step 20", "step 30"]
    logged = {"sam": "train/loss", "mytimemachine": "train/loss"}.get(coach, FIGURES[coach])
    assert len(toys.scalars(run, logged)) == 30
    pictures = [p.relative_to(run / "logs" / "images") for p in run.rglob("*_0000030.jpg")]
    assert pictures == [Path(f"{sheet}_0000030.jpg") for sheet in SHEETS.get(coach, [])]
    if coach != "stylegan2":
        rows = [
            json.loads(line)
            for line in (run / "logs" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert [row["step"] for row in rows] == [10, 20, 30]


def test_without_test_pictures_a_note_says_what_is_missing(
    files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toys.train(toys.arguments("sam", files, tmp_path / "run", "--test_dataset=", "--max_steps=2"))
    assert "no validation and no best_model.pt" in capsys.readouterr().err
    assert not (tmp_path / "run/checkpoints/best_model.pt").exists()
    assert (tmp_path / "run/logs/images/train/faces/ages_0000002.jpg").is_file()


def test_stylegan2_file_is_whole(runs: dict[str, Path]) -> None:
    checkpoint = state_of(runs["stylegan2"])
    assert {"g", "d", "g_ema", "latent_avg", "opts"} == checkpoint.keys()
    assert checkpoint["latent_avg"].shape == (12,)
    assert not torch.equal(checkpoint["g"]["input.input"], checkpoint["g_ema"]["input.input"])
    net = tiny_psp()
    load_generator(net, checkpoint, "iteration_30.pt")
    torch.testing.assert_close(net.latent_avg[3], checkpoint["latent_avg"])


def test_auxiliary_files_load(runs: dict[str, Path]) -> None:
    images = torch.rand(2, 3, 40, 40) * 2 - 1
    ages = load_age_classifier(runs["age_classifier"] / "checkpoints" / "best_model.pt").predict_age(images)
    assert ages.shape == (2,) and ages.min() >= 0 and ages.max() <= 100
    embedded = load_identity(runs["identity"] / "checkpoints" / "best_model.pt").embed(images)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("coach", ["sam", "mytimemachine"])
def test_ageing_files_age_faces(runs: dict[str, Path], coach: str) -> None:
    model = load_aging_model(runs[coach] / "checkpoints" / "best_model.pt", torch.device("cpu"))
    assert (model.kind, model.input_size, model.output_size) == (coach, 32, 16)
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    path = model.age_path(images, [10.0, 80.0])
    assert path.shape == (1, 2, 3, 16, 16)
    assert not torch.equal(path[0, 0], path[0, 1])


def test_frozen_parts_stay(runs: dict[str, Path], files: SimpleNamespace) -> None:
    sam, prior = state_of(runs["sam"])["state_dict"], load_checkpoint(files.psp)["state_dict"]
    check_equal(subset(sam, "pretrained_encoder."), subset(prior, "encoder."))
    generator = load_checkpoint(files.stylegan2)["g_ema"]
    check_equal(subset(sam, "decoder."), generator)
    check_equal(subset(state_of(runs["psp"])["state_dict"], "decoder."), generator)
    personal, start = state_of(runs["mytimemachine"])["state_dict"], load_checkpoint(files.sam)["state_dict"]
    for part in ("encoder.", "pretrained_encoder.", "decoder."):
        check_equal(subset(personal, part), subset(start, part))
    assert any(value.any() for key, value in personal.items() if key.startswith("blender.fc_0.2"))


# ---------------------------------------------------------------- resume

SHORT = ("--max_steps=8", "--val_interval=3", "--board_interval=3")
STEADY = ("--ema_halflife=8", "--learning_rate_schedule=cosine")
ADVERSARY = ("--adversarial_lambda=0.1", "--discriminator_every=2", "--r1=0.1")
FEATURES = ("--adversarial_lambda=0.1", "--discriminator=age_features", "--batch_size=2")
PLAIN = ("--l2_lambda=0", "--lpips_lambda=0")  # nothing is compared with photos
JOINT = ("--train_decoder", *ADVERSARY)


@pytest.mark.parametrize(
    ("coach", "more"),
    [
        # a killed run of each coach is in test_exact_resume
        *(pytest.param(coach, (), marks=pytest.mark.slow) for coach in COACHES if coach != "identity"),
        ("identity", ()),
        ("psp", (*JOINT, *STEADY)),
        ("sam", (*ADVERSARY, *STEADY, "--aging_augment")),
        pytest.param("sam", (*FEATURES, *STEADY), marks=pytest.mark.slow),
    ],
    ids=lambda item: item if isinstance(item, str) else "".join(item),
)
def test_resumed_run_equals_an_uninterrupted_one(
    coach: str,
    more: tuple[str, ...],
    files: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGTERM at step 5; the same command goes on to the very same weights, statistics and optimiser."""
    whole, parts = (
        toys.arguments(coach, files, tmp_path / name, *SHORT, *more) for name in ("whole", "parts")
    )
    toys.train(whole)
    before = signal.getsignal(signal.SIGTERM)
    stopped = pytest.raises(StoppedError, match="stopped at step 5; the same command continues")
    with monkeypatch.context() as patch, stopped:
        toys.terminate_at(patch, coach, 5)
        toys.train(parts)
    assert signal.getsignal(signal.SIGTERM) is before
    run = toys.run_folder(coach, tmp_path / "parts")
    assert state_of(run, "resume_state")["step"] == 5
    assert not (run / "checkpoints" / "iteration_5.pt").exists()
    toys.train(parts)
    assert f"continuing {run} at step 5" in capsys.readouterr().out
    expected = toys.run_folder(coach, tmp_path / "whole")
    for name in ("resume_state", "iteration_8"):
        check_equal(state_of(expected, name), state_of(run, name))
    assert state_of(run, "resume_state")["best_value"] == state_of(expected, "resume_state")["best_value"]


def test_finished_run_says_so_and_goes_on_with_more_steps(
    files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = toys.arguments("psp", files, tmp_path, "--max_steps=2")
    toys.train(command)
    toys.train(command)
    assert f"{tmp_path} has 2 of 2 steps already; raise --max_steps" in capsys.readouterr().out
    toys.train([*command, "--max_steps=3"])
    assert state_of(tmp_path, "resume_state")["step"] == 3


def test_personalised_runs_are_numbered(files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("mytimemachine", files, tmp_path, "--max_steps=1")
    toys.train(command)
    toys.train(command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000", "00001"]
    toys.train([*command, "--max_steps=2"])
    assert state_of(tmp_path / "00001", "resume_state")["step"] == 2
    assert state_of(tmp_path / "00000", "resume_state")["step"] == 1


def test_damaged_state_gives_way_to_the_one_before(
    files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = toys.arguments("psp", files, tmp_path, "--max_steps=4", "--save_interval=2")
    toys.train(command)
    newest, previous = (tmp_path / "checkpoints" / f"resume_state{end}.pt" for end in ("", "_previous"))
    newest.write_bytes(newest.read_bytes()[:1000])
    toys.train(command)
    captured = capsys.readouterr()
    assert "resume_state.pt is damaged" in captured.err and "trying the state before it" in captured.err
    assert f"continuing {tmp_path} at step 2" in captured.out
    for path in (newest, previous):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no resume state in .* can be read; remove the folder"):
        toys.train(command)


def test_run_of_another_kind_or_size_is_refused(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(toys.arguments("psp", files, tmp_path, "--max_steps=1"))
    with pytest.raises(InputError, match="holds a run of CoachPSP; choose another --exp_dir"):
        toys.train(toys.arguments("sam", files, tmp_path, "--max_steps=2"))
    with pytest.raises(InputError, match="--style_channels=4: the run in .* was begun with 8, which cannot"):
        toys.train(toys.arguments("psp", files, tmp_path, "--max_steps=2", "--style_channels=4"))
    with pytest.raises(InputError, match="was made with other networks or options"):
        toys.train(toys.arguments("psp", files, tmp_path, "--max_steps=2", "--ema_halflife=4"))


# ---------------------------------------------------------------- signals and broken figures


def test_terminated_process_saves_and_continues(files: SimpleNamespace, tmp_path: Path) -> None:
    """The one run in a process of its own: a real SIGTERM, then the same command."""
    arguments = toys.arguments("age_classifier", files, tmp_path, "--max_steps=100000", "--val_interval=0")
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments]
    log = tmp_path / "log"
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            for _ in range(900):
                if "step/s" in log.read_text(encoding="utf-8") or process.poll() is not None:
                    break
                time.sleep(0.1)
            process.terminate()
            assert process.wait(timeout=100) == STOPPED, log.read_text(encoding="utf-8")
        finally:
            process.kill()
    step = state_of(tmp_path, "resume_state")["step"]
    assert f"stopped at step {step}; the same command continues" in log.read_text(encoding="utf-8")
    toys.train([*arguments, f"--max_steps={step + 2}"])
    assert state_of(tmp_path, f"iteration_{step + 2}")["kind"] == "age_classifier"


@pytest.mark.parametrize("board_interval", [1, 50])
def test_broken_loss_stops_before_anything_is_saved(
    board_interval: int, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where figures are logged more rarely than states are saved: step 4 must stay the newest state."""
    more = ("--max_steps=8", "--save_interval=2", "--val_interval=0", f"--board_interval={board_interval}")
    command = toys.arguments("psp", files, tmp_path, *more)
    with monkeypatch.context() as patch:
        toys.spoil_at(patch, "psp", 5)
        with pytest.raises(InputError, match=r"not finite at step [56]; .* holds step 4.*: lower --lea"):
            toys.train(command)
    assert state_of(tmp_path, "resume_state")["step"] == 4
    assert not (tmp_path / "checkpoints" / "iteration_6.pt").exists()
    toys.train(command)
    assert state_of(tmp_path, "resume_state")["step"] == 8


# ---------------------------------------------------------------- starts


def test_adapter_starts_as_the_global_model(files: SimpleNamespace, tmp_path: Path) -> None:
    """Bound: not one bit of code or picture differs."""
    personal = toys.coach(toys.arguments("mytimemachine", files, tmp_path)).net.eval()
    prior = toys.network(files.sam).requires_grad_(False)
    images, years = torch.rand(2, 3, 32, 32) * 2 - 1, torch.tensor([15.0, 80.0])
    with torch.no_grad():
        x = append_age(images, years)
        expected, codes = prior(x, randomize_noise=False, return_latents=True)
        ours, our_codes = personal(x, randomize_noise=False, return_latents=True)
    torch.testing.assert_close(our_codes, codes, rtol=0, atol=0)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


def test_encoder_starts_as_the_prior(files: SimpleNamespace, tmp_path: Path) -> None:
    """With `--encoder_start=prior` the ageing encoder adds nothing yet, at any age."""
    net = toys.coach(toys.arguments("sam", files, tmp_path)).net.eval()
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        codes = net.encode(append_age(images, torch.tensor([5.0, 95.0])))
        torch.testing.assert_close(codes, net.encode_photo(images), rtol=0, atol=1e-6)


def test_statistics_of_the_prior_drift_in_the_official_recipe(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(toys.arguments("mytimemachine", files, tmp_path, "--recipe=official", "--max_steps=2"))
    state = state_of(tmp_path / "00000", "iteration_2")["state_dict"]
    start = load_checkpoint(files.sam)["state_dict"]
    changed = [key for key in start if not torch.equal(state[key], start[key])]
    assert changed and all(key.rpartition(".")[2].startswith(("running", "num_batches")) for key in changed)


@pytest.mark.parametrize(
    ("coach", "more"),
    [
        ("sam", ["--encoder_start=random", "--recipe=official", "--target_age=40"]),
        ("sam", ["--encoder_start=random", "--id_lambda=0", "--aging_lambda=0", "--lpips_lambda=0"]),
        ("sam", ["--checkpoint_path={sam}"]),
        ("sam", ["--w_norm_metric=photos", "--w_norm_lambda=0.1"]),
        ("psp", ["--checkpoint_path={psp}", "--id_lambda=0", "--lpips_lambda=0"]),
        ("psp", ["--adversarial_lambda=0.1", "--test_batch_size=1"]),
        ("psp", [*JOINT, "--decoder_learning_rate=1e-3", "--full_size_losses"]),
        ("sam", ["--adversarial_lambda=0.1", "--output_size=16", "--aging_augment"]),
        ("psp", [*FEATURES, "--train_decoder", "--lpips_lambda=0", "--batch_size=3"]),
        ("mytimemachine", ["--id_lambda=0", "--nearest_neighbor_id_loss_lambda=0", "--aging_lambda=0"]),
        ("mytimemachine", ["--l2_lambda_aging=0", "--target_age=30", "--cycle_lambda=0"]),
        ("stylegan2", ["--checkpoint_path={stylegan2}", "--path_regularize=0", "--d_reg_every=0"]),
        (
            "latent_encoder",
            ["--latent_space=w", "--pairs=20", "--truncation=0.7", *PLAIN],
        ),
        ("latent_encoder", ["--latent_space=z", "--checkpoint_path={directed}", "--w_norm_lambda=0.1"]),
        ("age_classifier", ["--network=ir_se", "--network_depths=1,1,1,1", "--kind=judge_age"]),
        ("age_classifier", ["--hard_radius=1"]),
        ("identity", ["--network=vgg", "--network_depths=1,1,1,1,1", "--kind=judge_identity"]),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else item,
)
def test_variants_train(coach: str, more: list[str], files: SimpleNamespace, tmp_path: Path) -> None:
    more = [argument.format(**vars(files)) for argument in more]
    toys.train(toys.arguments(coach, files, tmp_path, "--max_steps=2", "--val_interval=2", *more))
    run = toys.run_folder(coach, tmp_path)
    assert (run / "checkpoints" / "iteration_2.pt").is_file()


def test_trained_decoder_moves(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(toys.arguments("psp", files, tmp_path / "psp", "--max_steps=2", "--train_decoder"))
    path = tmp_path / "psp" / "checkpoints" / "iteration_2.pt"
    decoder = subset(load_checkpoint(path)["state_dict"], "decoder.")
    start = load_checkpoint(files.stylegan2)["g_ema"]
    assert not torch.equal(decoder["conv1.conv.weight"], start["conv1.conv.weight"])
    # SAM on top of it takes pSp's own generator
    more = ("--max_steps=1", f"--pretrained_psp_path={path}")
    toys.train(toys.arguments("sam", files, tmp_path / "sam", *more))
    sam = state_of(tmp_path / "sam", "iteration_1")["state_dict"]
    check_equal(subset(sam, "decoder."), decoder)
    # and another SAM takes both from it
    more = ("--max_steps=1", f"--pretrained_psp_path={tmp_path / 'sam/checkpoints/iteration_1.pt'}")
    toys.train(toys.arguments("sam", files, tmp_path / "second", *more))
    second = state_of(tmp_path / "second", "iteration_1")["state_dict"]
    for part in ("decoder.", "pretrained_encoder."):
        check_equal(subset(second, part), subset(sam, part))
    # and a pSp goes on from the one inside
    more = ("--max_steps=1", f"--checkpoint_path={tmp_path / 'sam/checkpoints/iteration_1.pt'}")
    going_on = toys.coach(toys.arguments("psp", files, tmp_path / "third", *more))
    check_equal(subset(going_on.weights()["state_dict"], "encoder."), subset(sam, "pretrained_encoder."))


def test_a_generator_learns_without_noise(files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--max_steps=2", "--train_decoder", "--generator_noise=none")
    toys.train(toys.arguments("psp", files, tmp_path / "run", *more))
    path = tmp_path / "run" / "checkpoints" / "iteration_2.pt"
    net, start = toys.network(path), load_checkpoint(files.stylegan2)["g_ema"]
    state = net.decoder.state_dict()
    strengths = [value for key, value in state.items() if key.endswith("noise.weight")]
    assert strengths and not torch.stack(strengths).any()
    assert not torch.equal(state["conv1.conv.weight"], start["conv1.conv.weight"])
    code = torch.randn(1, net.n_styles, 12)
    with torch.no_grad():
        assert torch.equal(net.decode(code, True), net.decode(code, True))
    with pytest.raises(InputError, match="--generator_noise=none needs --train_decoder"):
        toys.train(toys.arguments("sam", files, tmp_path / "sam", "--generator_noise=none"))


def test_generator_grows(files: SimpleNamespace, tmp_path: Path) -> None:
    config = replace(TINY_GENERATOR, size=8)
    small = save_checkpoint(toys.stylegan2_file(config), tmp_path / "small.pt")
    toys.train(toys.arguments("stylegan2", files, tmp_path / "run", f"--grow_from={small}", "--max_steps=2"))
    assert state_of(tmp_path / "run", "iteration_2")["opts"]["architecture"]["generator"]["size"] == 16


def test_psp_grows_with_its_generator(files: SimpleNamespace, tmp_path: Path) -> None:
    """The grown network renders the enlarged pictures of the small one; then all of it trains on."""
    small_run = toys.arguments("psp", files, tmp_path / "small", "--max_steps=1", *JOINT)
    toys.train(small_run)
    path = tmp_path / "small" / "checkpoints" / "iteration_1.pt"
    more = (f"--grow_from={path}", "--max_steps=2", *JOINT)
    # a generator of 16 pixels has no channels for 32; the table of the toy has
    checkpoint = load_checkpoint(path)
    checkpoint["opts"]["architecture"]["generator"]["channels"][32] = 8
    save_checkpoint(checkpoint, path)
    command = toys.arguments("psp", files, tmp_path / "run", *more)
    net = toys.coach(command).encoder.net.eval()
    small = toys.network(path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        codes, known = net.encode(images), small.encode(images)
        torch.testing.assert_close(codes[:, : small.n_styles], known)
        torch.testing.assert_close(
            codes[:, small.n_styles :], net.latent_avg[small.n_styles :].expand(2, -1, -1)
        )
        enlarge = net.decoder.to_rgbs[-1].upsample
        torch.testing.assert_close(net.decode(codes), enlarge(small.decode(known)))
    toys.train(command)
    grown = state_of(tmp_path / "run", "iteration_2")
    assert load_psp(grown, "grown").config.generator.size == 32
    assert grown["d"]["convs.0.0.weight"].shape == (8, 3, 1, 1)
    # the ageing encoder trains against the same discriminator, at a size the encoder does not see
    sam = (f"--pretrained_psp_path={tmp_path / 'run' / 'checkpoints' / 'iteration_2.pt'}", *ADVERSARY)
    toys.train(toys.arguments("sam", files, tmp_path / "sam", "--max_steps=1", *sam))
    moved = state_of(tmp_path / "sam", "iteration_1")["d"]
    assert moved.keys() == grown["d"].keys()
    assert not torch.equal(moved["final_conv.0.weight"], grown["d"]["final_conv.0.weight"])


def test_discriminator_is_asked_for_by_name(files: SimpleNamespace, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(files.stylegan2)
    del checkpoint["d"]
    path = save_checkpoint(checkpoint, tmp_path / "generator.pt")
    with pytest.raises(
        InputError, match="generator.pt has no discriminator, which --adversarial_lambda needs"
    ):
        toys.train(
            toys.arguments(
                "psp", files, tmp_path / "run", "--adversarial_lambda=1", f"--stylegan_weights={path}"
            )
        )


def test_average_is_what_is_saved(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(
        toys.arguments("psp", files, tmp_path, "--max_steps=4", "--ema_halflife=2", "--val_interval=0")
    )
    saved, state = state_of(tmp_path, "iteration_4")["state_dict"], state_of(tmp_path, "resume_state")
    check_equal(saved, state["networks"]["averaged"])
    name = "encoder.input_layer.0.weight"
    assert not torch.equal(saved[name], state["networks"]["net"][name])


def test_bfloat16_trains(files: SimpleNamespace, tmp_path: Path) -> None:
    for coach in ("stylegan2", "sam", "mytimemachine"):
        more = ("--mixed_precision=bf16", "--max_steps=2", "--val_interval=2")
        toys.train(toys.arguments(coach, files, tmp_path / coach, *more))
        run = toys.run_folder(coach, tmp_path / coach)
        kinds = {value.dtype for name, value in tensors(state_of(run, "iteration_2")).items()}
        assert kinds <= {torch.float32, torch.int64}
