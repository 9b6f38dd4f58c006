"""Converts a file of weights to another layout; what was written is read back and compared bit for bit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.directed import load_conditional_generator
from models.kinds import checkpoint_kind, official_content, what_is
from models.loading import built_from, mean_latent
from models.stylegan2.layout import rosinality_config, rosinality_networks
from models.stylegan2.model import Generator
from models.stylegan2.nvidia import ENTRIES, from_nvidia, to_nvidia
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from utils.files.writing import written_atomically
from utils.pictures.sheets import image_sheet

NVIDIA, ROSINALITY = "stylegan2_nvidia", "stylegan2"
SAMPLES = 8
SAMPLE_TRUNCATION = 0.7


def convert(
    before: Checkpoint, source: Path, target: Path, layout: str, groups: AgeGroups | None = None
) -> Checkpoint:
    """Writes weights in another layout; the file gets its name only after everything about it was checked.

    Args:
        before: the content of the source.
        source: its file, for messages.
        target: the new file; its suffix gives the format.
        layout: ``official`` or ``nvidia``.
        groups: the age groups that are the classes of a conditional StyleGAN2, to be noted in the file.

    Returns:
        The content of the new file.

    Raises:
        InputError: there is no such layout of this kind of file, it has other classes, or a number did not
            survive.
    """
    content = converted(before, source, layout)
    if groups is not None:
        content["classes"] = {"age_groups": str(groups)}
        load_conditional_generator(content, str(source))
    with written_atomically(target) as unchecked:
        after = load_checkpoint(save_checkpoint(content, unchecked))
        count = check_equal(dict(tensors(content)), dict(tensors(after)), str(target))
        print(f"{target}: {what_is(after)}, {count} tensors written and read back")
        check_way_back(before, after, source, target)
    return after


def converted(before: Checkpoint, source: Path, layout: str) -> Checkpoint:
    """The content of the new file.

    Raises:
        InputError: there is no such layout of this kind of file.
    """
    if layout == "official":
        return official_content(before, str(source))
    if checkpoint_kind(before) == NVIDIA:
        from_nvidia(before, str(source))  # which looks at every weight
        return _nvidia_networks(before)
    return to_nvidia(before, str(source))


def _nvidia_networks(checkpoint: Mapping[str, Any]) -> Checkpoint:
    """The state dicts of a file in NVIDIA's layout; a file of one network without a name holds ``G_ema``."""
    found = {name: value for name, value in checkpoint.items() if name in ENTRIES}
    return found or {"G_ema": checkpoint["network"]}


# ---------------------------------------------------------------- checks


def tensors(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint with its place."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors(value, f"{prefix}/{key}" if prefix else key)


def check_equal(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> int:
    """Compares two sets of tensors bit for bit and returns how many there are.

    Raises:
        InputError: a tensor is missing or differs.
    """
    found = {key.removeprefix("state_dict/"): value for key, value in found.items()}
    for key, value in wanted.items():
        other = found.get(key.removeprefix("state_dict/"))
        if other is None or not torch.equal(value, other):
            raise InputError(f"{where}: {key} did not survive the conversion; the file is not kept")
    return len(wanted)


def check_way_back(before: Mapping[str, Any], after: Mapping[str, Any], source: Path, target: Path) -> None:
    """Between NVIDIA's layout and rosinality's: converts back and compares with the source.

    Raises:
        InputError: a number differs.
    """
    kinds = checkpoint_kind(before), checkpoint_kind(after)
    if set(kinds) != {NVIDIA, ROSINALITY}:
        return
    if kinds[0] == NVIDIA:
        original, back = _nvidia_networks(before), to_nvidia(after, str(target))
        # G and G_ema have averages of their own at NVIDIA's; rosinality's layout holds one.
        dropped = "G/mapping.w_avg" if "G_ema" in original else None
        wanted = {key: value.float() for key, value in tensors(original) if key != dropped}
    else:
        networks = {entry: dict(state) for entry, state in rosinality_networks(before).items()}
        wanted, back = dict(tensors(networks)), from_nvidia(after, str(target))
        wanted = {key: value.float() for key, value in wanted.items()}
    count = check_equal(wanted, dict(tensors(back)), str(source))
    print(f"converted back: {count} tensors equal those of {source.name}")


# ---------------------------------------------------------------- pictures


def require_stylegan2(content: Mapping[str, Any], source: str) -> None:
    """Raises ``InputError`` if a file holds no StyleGAN2, of which alone samples can be drawn."""
    if checkpoint_kind(content) not in (NVIDIA, ROSINALITY):
        raise InputError(f"--samples is for StyleGAN2 files; {source} is {what_is(content)}")


@torch.no_grad()
def random_faces(content: Checkpoint, source: str) -> Image.Image:
    """Random faces of a StyleGAN2 file of either layout, :data:`SAMPLES` on one sheet.

    Raises:
        InputError: its layers do not fit together.
    """
    if checkpoint_kind(content) == NVIDIA:
        content = from_nvidia(content, source)
    networks = rosinality_networks(content)
    config = rosinality_config(content, source)
    state = networks.get("g_ema") or networks["g"]
    generator = built_from(lambda: Generator.from_config(config), state, source).eval()
    latent = mean_latent(content, source)
    z = torch.randn(SAMPLES, generator.style_dim, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(generator.c_dim)[torch.arange(SAMPLES) % generator.c_dim] if generator.c_dim else None
    pictures = []
    for index in range(SAMPLES):
        picture, _ = generator(
            [z[index : index + 1]],
            truncation=SAMPLE_TRUNCATION,
            truncation_latent=generator.average_latent() if latent is None else latent,
            randomize_noise=False,
            labels=None if labels is None else labels[index : index + 1],
        )
        pictures.append(picture[0])
    return image_sheet([pictures[: SAMPLES // 2], pictures[SAMPLES // 2 :]])
