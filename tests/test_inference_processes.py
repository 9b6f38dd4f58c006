"""Inference in several processes, and in threads: the files of a single one, whoever fails or is stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import ROOT, run
from inference_toys import files_below, make_photo, save_toy, toy
from kill_lab import Lab
from PIL import Image
from toy_networks import SMALL_ENCODER, TINY_GENERATOR, tiny_psp

from utils.errors import BAD_INPUT, DONE, STOPPED

STOP_AT_THE_FIFTH_FILE = """
import os, time
from utils.files import writing
flush, files = writing._flush, []
def counts(file):
    files.append(file)
    if len(files) == 5:
        os.killpg(0, {number})
        time.sleep(1)  # in which the others wait to be written
    flush(file)
writing._flush = counts
"""
NO_SPACE = """
import errno
from utils.files import writing
flush = writing._flush
def fails(file):
    if rank == 1 and "70" in file.parts:
        raise OSError(errno.{error}, "")
    flush(file)
writing._flush = fails
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("weights") / "sam.pt", toy())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos of which the first and the fifth cannot be read: numbers and draws count the others."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for number in range(9):
        make_photo(folder / f"{number}.png", number)
    for name in ("0.png", "4.png"):
        (folder / name).write_bytes(b"no picture")
    shutil.copy(make_photo(folder / "b" / "1.png", 11), folder / "9.png")
    Image.new("RGB", (90, 40), "green").save(folder / "wide.png")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    """As each of several processes has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder) - {"stats.txt"}}


def arguments(script: str, checkpoint: Path, photos: Path, out: Path) -> list[str]:
    more = {
        "inference": ["--target_age=10,uniform_random", "--sweep=gif", "--sweep_frames=3"],
        "style_mixing": ["--target_age=uniform_random", "--latent_mask=5", "--n_outputs_to_generate=2"],
    }[script]
    files = [f"--exp_dir={out}", f"--checkpoint_path={checkpoint}", f"--data_path={photos}"]
    return [*files, *more, "--device=cpu", "--test_batch_size=2", "--test_workers=0"]


@pytest.mark.parametrize(("script", "processes"), [("inference", 2), ("style_mixing", 3)])
def test_several_processes_write_the_files_of_one(
    lab: Lab, checkpoint: Path, photos: Path, tmp_path: Path, script: str, processes: int
) -> None:
    alone = run(script, *arguments(script, checkpoint, photos, tmp_path / "alone"))
    assert alone.returncode == DONE and "10 photos aged, 2 unreadable skipped" in alone.stdout, alone.stderr
    log, command = tmp_path / "log", arguments(script, checkpoint, photos, tmp_path / "together")
    answer = lab.train(command, log, processes=processes, script=script)
    said = log.read_text(encoding="utf-8")
    assert answer["codes"] == [DONE] * processes, said
    assert said.count("10 photos aged, 2 unreadable skipped") == 1
    for name in ("0.png", "4.png"):
        assert said.count(f"skipped: cannot read {photos / name}") == 1
    assert said.count("note: 1 photo is not square") == 1 and "wide.png" in said
    one, several = contents(tmp_path / "alone"), contents(tmp_path / "together")
    assert one == several and len(one) >= 10
    if script == "inference":
        assert "6 batches" in (tmp_path / "together/stats.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_torchrun_shares_a_folder(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    command = [f"--exp_dir={tmp_path / 'out'}", f"--checkpoint_path={checkpoint}", f"--data_path={photos}"]
    script = str(ROOT / "scripts" / "inference_side_by_side.py")
    done = subprocess.run(
        [*launcher, script, *command, "--target_age=10", "--device=cpu"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0 and done.stdout.count("10 photos aged, 2 unreadable") == 1, done.stderr
    assert len(files_below(tmp_path / "out")) == 10


@pytest.mark.parametrize(("error", "codes"), [("EACCES", [BAD_INPUT] * 2), ("ENOSPC", [STOPPED, BAD_INPUT])])
def test_photos_that_one_process_cannot_write(
    lab: Lab, checkpoint: Path, photos: Path, tmp_path: Path, error: str, codes: list[int]
) -> None:
    """One photo's trouble is named and counted; a full disk ends all."""
    log, command = tmp_path / "log", arguments("inference", checkpoint, photos, tmp_path / "out")
    answer = lab.train(
        [*command, "--target_age=70,+20"],
        log,
        processes=2,
        script="inference",
        patch=NO_SPACE.format(error=error),
    )
    said = log.read_text(encoding="utf-8")
    assert answer["codes"] == codes and "Traceback" not in said, said
    written = set(contents(tmp_path / "out" / "inference_results"))
    if error == "EACCES":
        lost = [line for line in said.splitlines() if line.startswith("no result: ")]
        assert f"{10 - len(lost)} photos aged, 2 unreadable skipped" in said and 3 <= len(lost) <= 7
        assert said.count(f"{len(lost)} of 10 photos lack results") == 1
        assert len(written) == 20 - len(lost)
    else:
        assert "No space left on device" in said and "another of the 2 processes has ended" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_stands_after_a_stop_is_whole(
    lab: Lab, photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The photos before are kept, no file is half, and what waited to be written is dropped."""
    checkpoint = save_toy(tmp_path / "sam.pt", tiny_psp(TINY_GENERATOR, SMALL_ENCODER, 0))
    many, out = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    for index in range(40):
        shutil.copy(photos / "1.png", many / f"{index}.png")
    command = arguments("inference", checkpoint, many, out)[:3] + ["--target_age=70", "--write_workers=1"]
    patch = STOP_AT_THE_FIFTH_FILE.format(number=int(number))
    answer = lab.train(command, tmp_path / "log", script="inference", patch=patch)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [STOPPED] and "stopped; what was finished is kept" in said, said
    assert "Traceback" not in said
    left = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in left if path.name.startswith(".")], "a temporary file was left"
    for path in left:
        Image.open(path).load()
    assert 5 <= len(left) < 41


def test_the_number_of_threads_changes_no_file(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    found = []
    for threads in (0, 1, 7):
        out = tmp_path / str(threads)
        done = run(
            "inference", *arguments("inference", checkpoint, photos, out), f"--write_workers={threads}"
        )
        assert done.returncode == DONE, done.stderr
        assert {os.stat(path).st_mode & 0o777 for path in out.rglob("*.png")} == {0o666 & ~umask()}
        found.append(contents(out))
    assert found[0] == found[1] == found[2]


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
