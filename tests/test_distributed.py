"""Two processes under torchrun make the steps of one process with the whole batch; one run folder."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import torch
import training_toys as toys
from commands import ROOT

from datasets.faces import FaceFolder
from training.batches import BatchSource
from utils import distributed
from utils.files.checkpoints import load_checkpoint


def torchrun(command: list[str]) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    script = str(ROOT / "scripts" / "train.py")
    return subprocess.run(
        [*launcher, script, *command], capture_output=True, text=True, check=False, timeout=240
    )


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Personalisation has no batch statistics and no noise, so only the order of sums may differ.

    Ranger's first steps are linear in the gradients; Adam makes whole steps of the last bits of tiny ones.
    """
    files = toys.make_files(tmp_path / "files")
    more = ("--max_steps=4", "--batch_size=4", "--target_age=30", "--optim_name=ranger", "--val_interval=4")
    alone, together = (toys.arguments("mytimemachine", files, tmp_path / name, *more) for name in "ab")
    toys.train(alone)
    result = torchrun(together)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout[: result.stdout.index("}\n") + 2])["batch_size"] == 4  # printed once
    assert result.stdout.count("step 4: ") == 1
    one, two = (
        load_checkpoint(toys.run_folder("mytimemachine", tmp_path / name) / "checkpoints" / "iteration_4.pt")
        for name in "ab"
    )
    start = load_checkpoint(files.sam)["state_dict"]
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][key], value, rtol=1e-4, atol=1e-5)
    moved = [key for key in one["state_dict"] if key.startswith("blender.fc_0.2")]
    assert moved and all(one["state_dict"][key].any() for key in moved) and not set(moved) & start.keys()


def test_processes_share_a_batch(tmp_path: Path, monkeypatch) -> None:
    folder = FaceFolder(toys.make_faces(tmp_path / "faces"), 16)
    whole = BatchSource(folder, 4, seed=3).next()["index"].tolist()
    monkeypatch.setenv("WORLD_SIZE", "2")
    parts = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        parts.append(BatchSource(folder, 4, seed=3).next()["index"].tolist())
    assert parts == [whole[0::2], whole[1::2]]


def test_a_single_process_is_left_alone() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    distributed.average_gradients([parameter])
    torch.testing.assert_close(parameter.grad, torch.tensor([1.0, 2.0]))
    assert distributed.is_main() and not distributed.any_process(False)
