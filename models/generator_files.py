"""A generator of faces from a StyleGAN2 file of any layout, with what the file says of its classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.directed import KIND
from models.kinds import checkpoint_kind, what_is
from models.stylegan2.layout import averaged_generator
from models.stylegan2.model import Generator
from models.stylegan2.nvidia import from_nvidia
from models.weights_folder import load_published
from utils.age_groups import AgeGroups, parse_age_groups
from utils.errors import InputError, naming
from utils.faces.alignment import CROPS

FULL_SIZE = 256  # pixels from which a generator is taken for one of FFHQ's crops where nothing says so


@dataclass(frozen=True)
class FaceGenerator:
    """A frozen generator and its classes.

    Attributes:
        network: in eval mode, without gradients of its weights.
        names: of the classes; empty where it is unconditional.
        groups: the age groups that the classes are, where the file says so.
        crop: how its faces are cut, a key of ``utils.faces.alignment.CROPS``.
    """

    network: Generator
    names: tuple[str, ...]
    groups: AgeGroups | None
    crop: str

    @property
    def is_conditional(self) -> bool:
        """Whether it has classes."""
        return bool(self.names)


def load_face_generator(
    path: str | Path, device: str | torch.device = "cpu", groups: AgeGroups | None = None
) -> FaceGenerator:
    """Opens a StyleGAN2, conditional or not, also the one of a pair for directed generation.

    Args:
        path: the file, in rosinality's or NVIDIA's layout.
        device: where it computes.
        groups: the age groups of its classes, in place of those that the file names.

    Raises:
        InputError: the file cannot be read, holds no generator, or has another number of classes.
    """
    content, source = load_published(path), str(path)
    kind = checkpoint_kind(content)
    if kind == "stylegan2_nvidia":
        content = {**content, **from_nvidia(content, source)}
    elif kind not in ("stylegan2", KIND):
        raise InputError(f"{source} is {what_is(content)}, not a StyleGAN2; give a file with a generator")
    network = averaged_generator(content, source).to(device).eval().requires_grad_(False)
    crop = str(content.get("crop", "ffhq" if network.size >= FULL_SIZE else "tight"))
    if crop not in CROPS:
        raise InputError(f"{source} makes faces cut as {crop[:40]!r}, which is not known here")
    names, groups = _classes(content, network.c_dim, groups, source)
    return FaceGenerator(network, names, groups, crop)


def _classes(
    content: Mapping[str, Any], count: int, groups: AgeGroups | None, source: str
) -> tuple[tuple[str, ...], AgeGroups | None]:
    """Names and age groups of so many classes; numbers stand for the names that a file lacks."""
    if not count:
        return (), None
    classes = content.get("classes")
    known = classes if isinstance(classes, Mapping) else {}
    if groups is None and isinstance(known.get("age_groups"), str):
        with naming(source):
            groups = parse_age_groups(known["age_groups"])
    if groups is not None and len(groups) != count:
        raise InputError(f"{source} has {count} classes, and there are {len(groups)} age groups: {groups}")
    names = known.get("names")
    if isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names):
        return tuple(names), groups
    return tuple(groups.names if groups else map(str, range(count))), groups
