"""What a checkpoint is, told by its entries and keys, and why one does not fit a network."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from utils.nvidia_pickle import KIND, NETWORKS

KINDS = {
    "mytimemachine": "a MyTimeMachine checkpoint",
    "sam": "a SAM checkpoint",
    "psp": "a pSp checkpoint without an ageing encoder",
    "stylegan2": "a StyleGAN2 checkpoint",
    KIND: "a StyleGAN2 in NVIDIA's layout (scripts/convert_weights.py converts it)",
    "age_classifier": "an age classifier",
    "identity": "a face recognition network",
    "facenet": "a face recognition network of facenet-pytorch",
    "judge_age": "an age judge",
    "judge_identity": "an identity judge",
    "resume": "the resume state of a training, not its weights",
    "unknown": "a checkpoint of a kind that is not known here",
}


def checkpoint_kind(checkpoint: Mapping[str, Any]) -> str:
    """Recognises what ``load_checkpoint`` read, by its ``kind`` entry or its keys.

    Returns:
        A key of :data:`KINDS`.
    """
    if isinstance(checkpoint.get("kind"), str):
        return checkpoint["kind"]
    if {"networks", "optimizers"} <= checkpoint.keys():
        return "resume"
    if isinstance(checkpoint.get("g_ema"), Mapping) or isinstance(checkpoint.get("g"), Mapping):
        return "stylegan2"
    if any(isinstance(checkpoint.get(name), Mapping) for name in NETWORKS):
        return KIND
    return state_kind(checkpoint.get("state_dict") or {})


def state_kind(state: Mapping[str, Any]) -> str:
    """The same for a bare state dict."""
    roots = {key.split(".", 1)[0] for key in state}
    if "blender" in roots and "encoder" in roots:
        return "mytimemachine"
    if "pretrained_encoder" in roots:
        return "sam"
    if "encoder" in roots:
        first = state.get("encoder.input_layer.0.weight")
        return "sam" if first is not None and first.shape[1] == 4 else "psp"
    if {"conv1_1", "fc6"} <= roots:
        return "age_classifier"
    if {"input_layer", "body", "output_layer"} <= roots:
        return "identity"
    if {"conv2d_1a", "block8"} <= roots:
        return "facenet"
    if {"to_rgb1", "convs"} <= roots:
        return "stylegan2"
    return "unknown"


def describe(checkpoint: Mapping[str, Any]) -> str:
    """What a checkpoint is, in words for an error message."""
    kind = checkpoint_kind(checkpoint)
    return KINDS.get(kind, f"a checkpoint of kind {kind!r}")


# ---------------------------------------------------------------- why it does not fit


def likely_cause(own: Mapping[str, Tensor], state: Mapping[str, Tensor], shapes: list[str]) -> str:
    """Why a state dict does not fit a network, in words.

    Args:
        own: state dict of the network.
        state: state dict of the file.
        shapes: keys of both with different shapes.
    """
    if not own.keys() & state.keys():
        kind = state_kind(state)
        known = (
            f"its layers are those of {KINDS[kind]}" if kind != "unknown" else "its layers have other names"
        )
        return known if state else "it is empty"
    firsts = [key for key in shapes if key.endswith("input_layer.0.weight")]
    if firsts and firsts == shapes:
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
        (item.shape[dimension] for key, item in state.items() if re.search(pattern, key)), default=0
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
