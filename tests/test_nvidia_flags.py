"""NVIDIA's training command line: names, configurations against values by hand, the files of a run."""

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import training_toys as toys
from commands import ROOT
from PIL import Image

from options.nvidia_configurations import NAMES, configuration
from options.nvidia_flags import SOURCES, THEIRS, boolean, metrics, with_nvidia_names
from options.train_options import parse_train_options
from training.file_names import FileNames, SnapshotNames
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

GROUPS = "--age_groups=0-40,41-100"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of 16 pixels in two classes, with their labels."""
    folder = toys.make_faces(tmp_path_factory.mktemp("nvidia") / "faces", size=16)
    names = sorted(path.name for path in folder.iterdir())
    labels = [[name, int(int(name.split("_")[0]) > 40)] for name in names]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


def parse(data: Path, *words: str) -> Any:
    return parse_train_options(["--outdir=runs", f"--data={data}", *words])


# ---------------------------------------------------------------- configurations

# name, side, GPUs: batch, parts on one GPU, group, learning rate, gamma, EMA kimg, ramp, layers, steps, maps
BY_HAND = [
    ("auto", 32, 1, 32, 1, 4, 0.0025, 0.0064, 10, 0.05, 2, 781_250, "4:512,8:512,16:512,32:512"),
    ("auto", 64, 1, 32, 1, 4, 0.0025, 0.0256, 10, 0.05, 2, 781_250, "16:512,32:512,64:256"),
    ("auto", 256, 1, 16, 1, 4, 0.0025, 0.8192, 5, 0.05, 2, 1_562_500, "64:256,128:128,256:64"),
    ("auto", 256, 8, 64, 8, 4, 0.0025, 0.2048, 20, 0.05, 2, 390_625, "64:256,128:128,256:64"),
    ("auto", 512, 2, 16, 2, 4, 0.0025, 3.2768, 5, 0.05, 2, 1_562_500, "64:512,128:256,256:128,512:64"),
    ("auto", 1024, 1, 4, 1, 4, 0.002, 52.4288, 1.25, 0.05, 2, 6_250_000, "512:64,1024:32"),
    ("auto", 1024, 8, 32, 8, 4, 0.002, 6.5536, 10, 0.05, 2, 781_250, "512:64,1024:32"),
    ("auto", 1024, 64, 64, 64, 1, 0.002, 3.2768, 20, 0.05, 2, 390_625, "512:64,1024:32"),
    ("stylegan2", 256, 1, 32, 8, 4, 0.002, 10, 10, 0, 8, 781_250, "64:512,128:256,256:128"),
    ("paper256", 256, 1, 64, 8, 8, 0.0025, 1, 20, 0, 8, 390_625, "64:256,128:128,256:64"),
    ("paper512", 512, 1, 64, 8, 8, 0.0025, 0.5, 20, 0, 8, 390_625, "64:512,128:256,256:128,512:64"),
    ("paper1024", 1024, 1, 32, 8, 4, 0.002, 2, 10, 0, 8, 781_250, "512:64,1024:32"),
    ("cifar", 32, 1, 64, 2, 32, 0.0025, 0.01, 500, 0.05, 2, 1_562_500, "4:512,8:512,16:512,32:512"),
    ("11gb-gpu", 1024, 1, 4, 1, 4, 0.002, 10, 10, 0, 8, 6_250_000, "512:64,1024:32"),
    ("24gb-gpu", 1024, 1, 8, 1, 8, 0.002, 10, 10, 0, 8, 3_125_000, "512:64,1024:32"),
    ("48gb-gpu", 1024, 1, 16, 1, 16, 0.002, 10, 10, 0, 8, 1_562_500, "512:64,1024:32"),
]


@pytest.mark.parametrize("row", BY_HAND, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_configurations(row: tuple[Any, ...], data: Path) -> None:
    name, side, gpus, *expected, maps = row
    opts = parse(data, f"--cfg={name}", f"--output_size={side}", f"--gpus={gpus}")
    found = [
        *(opts.batch_size, opts.gradient_accumulation_steps, opts.mbstd_group, opts.learning_rate, opts.r1),
        *(opts.ema_halflife / 1000, opts.ema_rampup, opts.n_mlp, opts.max_steps),
    ]
    assert found == pytest.approx(expected, rel=1e-12)
    assert opts.channels.endswith(maps) and opts.output_size == side and opts.style_dim == 512
    regularised = name != "cifar"
    assert (opts.path_regularize, opts.mixing) == ((2, 0.9) if regularised else (0, 0))
    assert (opts.d_reg_every, opts.g_reg_every, opts.path_batch_shrink) == (16, 4, 2)
    assert opts.discriminator_learning_rate is None and (opts.aug, opts.target) == ("ada", 0.6)


def test_every_configuration_has_values_by_hand() -> None:
    assert {row[0] for row in BY_HAND} == set(NAMES)


def test_a_batch_is_that_of_its_gpus_however_many_processes_make_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each process holds as many pictures at a time as a GPU does there."""
    for processes, parts in ((1, 8), (2, 4), (8, 1)):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        opts = parse(data, "--cfg=paper256", "--gpus=8")
        assert (opts.batch_size, opts.gradient_accumulation_steps) == (64, parts)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert parse(data, "--output_size=256").batch_size == 64 == configuration("auto", 256, 4).batch


# ---------------------------------------------------------------- names


def test_what_is_given_wins_over_the_configuration(data: Path) -> None:
    """Gamma and the average stay those of the batch of the configuration, as they do there."""
    theirs = ("--cfg=auto", "--batch=8", "--kimg=3", "--snap=2", "--seed=3", "--freezed=2", "--workers", "1")
    theirs += ("--augpipe=bgcf", "--target=0.5", "--initstrength=0.2", "--aug", "ada", "--fp32=1")
    opts = parse(data, *theirs)
    assert (opts.exp_dir, opts.train_dataset, opts.output_size) == ("runs", str(data), 16)
    assert (opts.batch_size, opts.max_steps, opts.save_interval, opts.image_interval) == (8, 375, 1000, 1000)
    assert opts.r1 == pytest.approx(0.0002 * 16**2 / 32) and opts.ema_halflife == 10_000
    assert (opts.seed, opts.freezed, opts.workers, opts.mixed_precision) == (3, 2, 1, "no")
    assert (opts.augpipe, opts.target, opts.initstrength) == ("bgcf", 0.5, 0.2)
    ours = ("--channels=4:8,8:8,16:8", "--r1=7", "--max_steps=9", "--mbstd_group=2", "--save_interval=5")
    opts = parse_train_options([*ours, "--outdir=runs", f"--data={data}", *theirs, "--n_mlp=3"])
    assert (opts.channels, opts.r1, opts.max_steps, opts.mbstd_group) == ("4:8,8:8,16:8", 7, 9, 2)
    assert (opts.save_interval, opts.n_mlp, opts.image_interval) == (5, 3, 1000)


def test_agelabs_names_for_the_same_count_too(data: Path) -> None:
    opts = parse_train_options(
        ["--coach=stylegan2", "--exp_dir=e", f"--train_dataset={data}", "--kimg", "4", "--batch_size=16"]
    )
    assert (opts.exp_dir, opts.batch_size, opts.max_steps, opts.snapshot_names) == ("e", 16, 250, True)


@pytest.mark.parametrize(("word", "value"), [("true", True), ("0", False), ("YES", True), ("off", False)])
def test_booleans_as_there(word: str, value: bool, data: Path) -> None:
    assert boolean(word) is value
    for form in ([f"--mirror={word}", f"--cond={word}"], ["--mirror", word, "--cond", word]):
        opts = parse(data, *form)
        assert (not opts.no_mirror, opts.cond) == (value, value)
    own = [f"--train_dataset={data}", "--exp_dir=e"]
    opts = parse_train_options(["--coach=stylegan2", *own, f"--cond={word}", "-n"])
    assert opts.cond is value and opts.dry_run and opts.aug == "noaug" and not opts.snapshot_names


def test_defaults_as_there(data: Path) -> None:
    """No mirroring, 50 ticks of 4 thousand pictures, each ending with a step."""
    opts = parse(data, "--dry-run", "--cond")
    assert opts.no_mirror and opts.dry_run and opts.cond and opts.save_interval == 50 * 125
    assert parse(data, "--batch=64").save_interval == 50 * 63


def test_only_trainings_of_stylegan2_are_touched() -> None:
    for command in (
        ["--l2_lambda=1", "--exp_dir=e"],
        ["--coach=mytimemachine", "--gpus=2", "--outdir=x"],
        [],
    ):
        assert with_nvidia_names(command) == command
    own = ["--coach", "stylegan2", "--exp_dir=e", "--train_dataset=d", "--batch_size=4"]
    assert with_nvidia_names(own) == own
    assert with_nvidia_names(["--cfg=auto", "--help"]) == ["--coach=stylegan2", "--help"]


def test_going_on_from_a_file(data: Path) -> None:
    opts = parse(data, "--resume=some/ffhq.pkl")
    assert (opts.checkpoint_path, opts.ema_rampup, opts.ada_kimg) == ("some/ffhq.pkl", 0, None)
    opts = parse(data, "--resume", "noresume")
    assert (opts.checkpoint_path, opts.ema_rampup) == (None, 0.05)


def test_metrics(data: Path) -> None:
    assert metrics("fid50k_full,kid50k_full") == "fid,kid"
    assert [metrics(text) for text in ("none", "None", "frechet,fid")] == ["none", "none", "frechet,fid"]
    assert parse(data, "--metrics=fid50k_full").coach == parse(data, "--metrics=None").coach == "stylegan2"


def test_sides_are_those_of_the_pictures(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in data.iterdir():
            file.write(path, path.name)
    assert parse(archive).output_size == 16


WRONG = [
    (["--cfg=auto2"], "argument --cfg: 'auto2' is none of auto, stylegan2, "),
    (["--mirror=maybe"], "argument --mirror: 'maybe' is neither true nor false"),
    (["--cond=maybe"], "argument --cond: 'maybe' is neither true nor false"),
    (["--gpus=3"], "argument --gpus: 3 is not a power of two"),
    (["--batch=6", "--gpus=4"], "--batch=6 is not a multiple of --gpus=4; give one that is"),
    (["--gamma=-1"], "argument --gamma: -1 is less than 0"),
    (["--kimg"], "argument --kimg: expected one argument"),
    (["--snap=0"], "argument --snap: 0 is less than 1"),
    (
        ["--subset=100"],
        "--subset=100: training takes all pictures of --data; put those that it shall see into",
    ),
    (["--topk=0.9"], "--topk=0.9: top-k training is not available; leave it out"),
    (["--mirrory=true"], "--mirrory=true: pictures are not turned upside down; add turned ones to --data"),
    (["--metrics=pr50k3_full"], "argument --metrics: 'pr50k3_full' is not measured here; fid and kid are"),
    (
        ["--resume=ffhq256"],
        f"--resume=ffhq256: nothing is downloaded here; get https://.*/{SOURCES['ffhq256']} ",
    ),
    (["--resume=https://a.b/c.pkl"], "nothing is downloaded here; get https://a.b/c.pkl and give the file"),
    (["--data=nowhere"], "--data: no such folder: nowhere"),
    (["--data="], "argument --data: names nothing; give a file or folder"),
]


@pytest.mark.parametrize(
    ("words", "sentence"), WRONG, ids=lambda value: value[0] if value[0][0] == "-" else ""
)
def test_one_sentence_for_what_cannot_be(words: list[str], sentence: str, data: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        parse(data, *words)


def test_folders_are_needed(data: Path) -> None:
    with pytest.raises(InputError, match=r"--outdir is needed \(or --exp_dir\)"):
        parse_train_options(["--cfg=auto", f"--data={data}"])
    with pytest.raises(InputError, match=r"--data is needed \(or --train_dataset\)"):
        parse_train_options(["--cfg=auto", "--outdir=runs"])


@pytest.mark.parametrize("size", [(24, 24), (16, 32), (4, 4)])
def test_pictures_of_a_wrong_size(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "1.png")
    with pytest.raises(
        InputError, match=rf"1.png has {size[0]} x {size[1]} pixels, .* or give .* --output_size"
    ):
        parse(tmp_path)
    assert parse(tmp_path, "--output_size=32").output_size == 32
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=f"--data: no pictures in {tmp_path}"):
        parse(tmp_path)


def test_what_is_said(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parse(data, "--nhwc=1", "--allow-tf32=true", "--nobench=false", "--gpus=4")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "note: --nhwc, --allow_tf32 have no effect here"
    assert said[1].startswith("note: --gpus=4 sets the numbers of the configuration, for 1 running; torchrun")
    assert (
        said[2] == "note: the run folder is runs itself, and the same command continues it" and len(said) == 3
    )


def test_no_word_of_theirs_is_one_of_ours() -> None:
    """Else it could not tell which of the two command lines is meant."""
    ours = json.loads((ROOT / "tests/fixtures/train_flags.json").read_text(encoding="utf-8"))["stylegan2"]
    assert not {f"--{name}" for name in THEIRS} & set(ours)
    for kind in THEIRS.values():
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            kind("" if kind is THEIRS["data"] else "-1") if kind is not THEIRS["resume"] else kind(" ")


# ---------------------------------------------------------------- files of a run


def train(data: Path, run: Path, *more: str) -> Path:
    """A thousand pictures in five steps; returns the folder of the run."""
    common = [word for word in toys.COMMON if not word.startswith("--max_steps")]
    theirs = ["--cfg=auto", f"--outdir={run}", f"--data={data}", "--cond=1", "--batch=200", "--kimg=1"]
    intervals = ["--save_interval=3", "--image_interval=3", "--val_interval=0", "--d_reg_every=0"]
    small = [*toys.SIZES, "--channels=4:4,8:4,16:4", "--path_regularize=0", "--n_samples=6"]
    toys.train([*theirs, *common, *intervals, *small, *more])
    return run


def names_in(run: Path, folder: str, *beginnings: str) -> list[str]:
    return sorted(path.name for path in (run / folder).iterdir() if path.name.startswith(beginnings))


def test_a_run_leaves_snapshots_and_grids(data: Path, tmp_path: Path) -> None:
    """Counted in thousands of pictures; in parts the same, without the oldest where few are to stay."""
    whole = train(data, tmp_path / "whole")
    snapshots = ["network-snapshot-000000.pt", "network-snapshot-000001.pt"]
    assert names_in(whole, "checkpoints", "network", "iteration") == snapshots
    grids = ["fakes000000.png", "fakes000001.png", "reals.png"]
    assert names_in(whole, "logs/images", "") == grids
    for name in grids:  # a row a class: three columns, two rows, gaps of two pixels
        assert Image.open(whole / "logs/images" / name).size == (3 * 18 - 2, 2 * 18 - 2)
    parts = train(data, tmp_path / "parts", "--max_steps=3")
    (parts / "logs/images/reals.png").unlink()
    train(data, parts, "--keep_checkpoints=1", "--keep_sheets=1")
    assert names_in(parts, "checkpoints", "network", "iteration") == snapshots[1:]
    assert names_in(parts, "logs/images", "") == ["fakes000001.png"], "photos are shown at the start only"
    first, second = (load_checkpoint(run / "checkpoints" / snapshots[1]) for run in (whole, parts))
    assert first["classes"]["names"] == ["0", "1"] and first["opts"]["batch_size"] == 200
    assert all(torch.equal(first["g_ema"][name], second["g_ema"][name]) for name in first["g_ema"])


def test_names_of_files() -> None:
    steps, pictures = FileNames(), SnapshotNames(64)
    assert (steps.weights(300), steps.sheet("test/faces", 300)) == ("iteration_300", "test/faces_0000300.jpg")
    assert (pictures.weights(3151), pictures.sheet("fakes", 3151)) == (
        "network-snapshot-000201",
        "fakes000201.png",
    )
    for names, step, number in ((steps, 300, 300), (pictures, 3151, 201)):
        assert names.number(Path(f"{names.weights(step)}.pt")) == number
        assert names.is_sheet("a", Path(names.sheet("a", step))) and not names.is_sheet(
            "b", Path(names.sheet("a", step))
        )
        assert [names.number(Path(name)) for name in ("best_model.pt", "resume_state.pt")] == [None, None]
    assert steps.number(Path("network-snapshot-000201.pt")) is pictures.number(Path("iteration_3.pt")) is None
