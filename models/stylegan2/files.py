"""Reads StyleGAN2 files of any layout."""

from pathlib import Path

from models.kinds import checkpoint_kind
from models.stylegan2.nvidia import from_nvidia
from models.weights_folder import load_published
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint


def load_converted(path: str | Path) -> Checkpoint:
    """Reads any checkpoint; StyleGAN2 networks in NVIDIA's layout come back in rosinality's.

    Raises:
        InputError: the file cannot be read or converted.
    """
    checkpoint = load_published(path)
    return (
        from_nvidia(checkpoint, str(path))
        if checkpoint_kind(checkpoint) == "stylegan2_nvidia"
        else checkpoint
    )


def load_trainable(path: str | Path) -> Checkpoint:
    """Reads a checkpoint that can be trained on, also one in NVIDIA's layout.

    Raises:
        InputError: it lacks the generator, its average or the discriminator.
    """
    checkpoint = load_converted(path)
    missing = [name for name in ("g", "d", "g_ema") if name not in checkpoint]
    if missing:
        raise InputError(
            f"{path} has no entry {missing[0]!r}; training goes on from a file of --coach=stylegan2"
        )
    return checkpoint
