"""Why a checkpoint does not fit a network."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from models.kinds import UNKNOWN, checkpoint_kind, what_is


def likely_cause(own: Mapping[str, Tensor], state: Mapping[str, Tensor], shapes: list[str]) -> str:
    """Why a state dict does not fit a network, in words.

    Args:
        own: state dict of the network.
        state: state dict of the file.
        shapes: keys of both with different shapes.
    """
    if not own.keys() & state.keys():
        if not state:
            return "it is empty"
        whole = {"state_dict": state}
        known = checkpoint_kind(whole) != UNKNOWN
        return f"its layers are those of {what_is(whole)}" if known else "its layers have other names"
    firsts = [key for key in shapes if key.endswith("input_layer.0.weight")]
    if firsts and firsts == shapes and all(table[firsts[0]].dim() == 4 for table in (state, own)):
        found, wanted = (table[firsts[0]].shape[1] for table in (state, own))
        ages = {(3, 4): "it has no age channel", (4, 3): "it has an age channel, the network has none"}
        cause = ages.get((found, wanted), "the number of input channels differs")
        return f"{cause} ({found} input channels, the network has {wanted}: --input_nc)"
    for what, count in _COUNTS.items():
        found, wanted = count(state), count(own)
        if found and wanted and found != wanted:
            return "it " + what.format(found, wanted)
    if any(key.startswith("embed.") for key in state.keys() ^ own.keys()):
        return "one of the two is conditional (has class labels), the other is not"
    if shapes:
        return "the widths of its layers differ (another architecture)"
    return "some layers are missing or too many (another architecture, or a file cut short)"


def _largest(pattern: str, dimension: int) -> Callable[[Mapping[str, Tensor]], int]:
    """A function that gives the largest size, along a dimension, of the tensors whose keys match."""
    return lambda state: max(
        (item.shape[dimension] for key, item in state.items() if item.dim() and re.search(pattern, key)),
        default=0,
    )


def _count(pattern: str) -> Callable[[Mapping[str, Tensor]], int]:
    """A function that counts the distinct numbers in the keys that match."""
    return lambda state: len({found[1] for key in state if (found := re.match(pattern, key))})


# What two networks of one kind can differ in, the most telling first.
_COUNTS: dict[str, Callable[[Mapping[str, Tensor]], int]] = {
    "makes images of {} pixels, the network makes {} (--output_size)": _largest(r"noises\.noise_\d+$", -1),
    "has codes of {} styles, the network has {} (--output_size)": _count(r"(?:encoder\.)?styles\.(\d+)\."),
    "has {} mapping layers, the network has {} (--n_mlp)": _count(r"(?:decoder\.)?style\.(\d+)\."),
    "has {} residual units, the network has {} (another depth)": _count(r"(?:encoder\.)?body\.(\d+)\."),
    "has {} age classes, the network has {}": _largest(r"^fc8[_-]\d+\.bias$", 0),
}
