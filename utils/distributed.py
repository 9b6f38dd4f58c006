"""Several processes that train together, started by `torchrun`: one a GPU, or one a core of a CPU.

Plain `torch.distributed`. Without `torchrun` every function here is that of a single process.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import InputError, StoppedError, explained

# The first process alone validates and saves while the others wait for it, and that may take long. A process
# that is gone shows otherwise: its connections close (Gloo), and `torchrun` ends the others in 30 seconds.
PATIENCE = timedelta(days=7)
_alone = False


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def launcher() -> list[str]:
    """The words that start as many processes."""
    if world_size() == 1:
        return ["python"]
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    machines = ["--standalone"] if here == world_size() else [f"--nnodes={world_size() // here}"]
    return ["torchrun", *machines, f"--nproc_per_node={here}"]


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def say(text: str, **settings: Any) -> None:
    """Prints once, however many processes train; further arguments as those of ``print``."""
    if is_main():
        print(text, **settings)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process where several share a machine; any other device as it is."""
    if device.type == "cuda" and device.index is None and world_size() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def join(device: torch.device) -> None:
    """Connects the processes; does nothing for a single one.

    Tensors on GPUs travel by NCCL. All others go by Gloo, and no GPU has to be waited for.

    Raises:
        InputError: the device cannot be used by several processes.
    """
    if world_size() == 1 or dist.is_initialized():
        return
    if device.type not in ("cuda", "cpu"):
        raise InputError(f"--device={device.type} cannot be used by several processes; start one, or use cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _others_there():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Ends what `join` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it nothing is exchanged with other processes."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def _connected() -> bool:
    return dist.is_initialized() and not _alone


@contextlib.contextmanager
def _others_there() -> Iterator[None]:
    """Words what torch raises where another process is gone.

    Raises:
        StoppedError: it is.
    """
    try:
        yield
    except RuntimeError as error:
        if explained(error) is not None:  # out of memory
            raise
        raise StoppedError(
            f"another of the {world_size()} processes has ended; the same command continues from the last "
            f"saved state"
        ) from error


def told(value: Any) -> Any:
    """What the first process gives, in every process; plain values only."""
    if not _connected():
        return value
    held = [value]
    with _others_there():
        dist.broadcast_object_list(held, 0)
    return held[0]


def share_weights(networks: Iterable[nn.Module]) -> None:
    """Gives every process the weights and buffers of the first."""
    if not _connected():
        return
    with _others_there():
        for network in networks:
            for value in (*network.parameters(), *network.buffers()):
                dist.broadcast(value.detach(), 0)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces each gradient by its mean over the processes, in one message."""
    average(parameter.grad for parameter in parameters if parameter.grad is not None)


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Replaces each tensor by its mean over the processes, in one message."""
    values = list(tensors)
    if not _connected() or not values:
        return
    joined = torch.cat([value.flatten() for value in values])
    with _others_there():
        dist.all_reduce(joined)
    joined /= world_size()
    for value, mean in zip(values, joined.split([v.numel() for v in values]), strict=True):
        value.copy_(mean.view_as(value))


def everyone(value: Any) -> list[Any]:
    """What each process gives, by their numbers, in every process; plain values only."""
    if not _connected():
        return [value]
    found = [None] * world_size()
    with _others_there():
        dist.all_gather_object(found, value)
    return found


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; the same answer in all of them, without a look at a GPU."""
    if not _connected():
        return flag
    value = torch.tensor(float(flag))
    with _others_there():
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)
