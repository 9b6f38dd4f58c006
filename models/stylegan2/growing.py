"""Growing a trained StyleGAN2 to twice its resolution: shared layers stay, new ones start neutral."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.loading import described_by, load_into
from models.stylegan2.model import Discriminator, Generator
from utils.errors import InputError


def grow(
    generator: Generator,
    generator_state: Mapping[str, Tensor],
    discriminator: Discriminator,
    discriminator_state: Mapping[str, Tensor],
    source: str,
) -> None:
    """Fills networks of twice the size from the state dicts of a trained pair.

    The new to-RGB layer starts at zero, so the grown generator first renders exactly the enlarged pictures of
    the small one. In the discriminator the blocks move up by one and the new first block is fresh.

    Raises:
        InputError: the weights are not those of the same network at half the size.
    """
    with described_by(source):
        found = _picture_size(generator_state)
    if 2 * found != generator.size:
        raise InputError(
            f"{source} is not half the size of the new network: it makes pictures of {found} pixels, "
            f"so --output_size must be {2 * found}, not {generator.size}"
        )
    _fill(generator, generator_state, source)
    with torch.no_grad():
        generator.to_rgbs[-1].conv.weight.zero_()
    with described_by(source):
        moved = _moved_up(discriminator_state)
    _fill(discriminator, moved, source)


def _moved_up(discriminator_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its state dict with every block one place later, and without the layer that reads the picture."""
    moved = {}
    for key, value in discriminator_state.items():
        parts = key.split(".")
        if parts[0] != "convs":
            moved[key] = value
        elif parts[1] != "0":
            moved[".".join([parts[0], str(int(parts[1]) + 1), *parts[2:]])] = value
    return moved


def _picture_size(generator_state: Mapping[str, Tensor]) -> int:
    """Side of the pictures of a generator: that of its largest noise plane, 0 without any."""
    planes = (plane for key, plane in generator_state.items() if key.startswith("noises."))
    return max((plane.shape[-1] for plane in planes), default=0)


def _fill(net: torch.nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads `state`, leaving only the layers of the new resolution as they are."""
    own = net.state_dict()
    fresh = {key: own[key] for key in own if key not in state}
    load_into(net, {**fresh, **state}, source)
