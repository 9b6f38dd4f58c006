"""Several processes that train together, started by `torchrun`: one a GPU, or one a core of a CPU.

Plain `torch.distributed`. Without `torchrun` every function here is that of a single process.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import InputError


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def say(text: str) -> None:
    """Prints once, however many processes train."""
    if is_main():
        print(text)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process where several share a machine; any other device as it is."""
    if device.type == "cuda" and device.index is None and world_size() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def join(device: torch.device) -> None:
    """Connects the processes (NCCL on GPUs, Gloo on CPUs); does nothing for a single one.

    Raises:
        InputError: the device cannot be used by several processes.
    """
    if world_size() == 1 or dist.is_initialized():
        return
    if device.type not in ("cuda", "cpu"):
        raise InputError(f"--device={device.type} cannot be used by several processes; start one, or use cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Ends what `join` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


def share_weights(networks: Iterable[nn.Module]) -> None:
    """Gives every process the weights and buffers of the first."""
    if not dist.is_initialized():
        return
    for network in networks:
        for value in (*network.parameters(), *network.buffers()):
            dist.broadcast(value.data, 0)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces each gradient by its mean over the processes, in one message."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    joined /= world_size()
    for gradient, mean in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def synchronise(optimizer: torch.optim.Optimizer) -> None:
    """Averages the gradients over the processes before every step of an optimiser."""

    def average(optimizer: torch.optim.Optimizer, *_: object) -> None:
        average_gradients(p for group in optimizer.param_groups for p in group["params"])

    if dist.is_initialized():
        optimizer.register_step_pre_hook(average)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process; the same answer in all of them."""
    if not dist.is_initialized():
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value)
