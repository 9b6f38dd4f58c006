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
    """Reads a checkpoint that can be trained on, also one in NVIDIA's layout; files for use alone lack parts.

    Returns:
        The content with ``g`` and ``g_ema``, one for the other where the file has one; perhaps without ``d``.

    Raises:
        InputError: there is no generator in it.
    """
    checkpoint = load_converted(path)
    generator = checkpoint.get("g", checkpoint.get("g_ema"))
    if generator is None:
        raise InputError(f"{path} has no generator; training goes on from a file of --coach=stylegan2")
    return {"g": generator, "g_ema": generator, **checkpoint}
