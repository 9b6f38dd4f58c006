"""The table of checkpoint kinds: how a file is recognised, what it is called, what loads and what writes it.

A new kind is one line here. Implementations are named as ``module:function`` and imported when a file of that
kind is met, so that nothing depends on all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from utils.errors import InputError
from utils.lazy import implementation

Recogniser = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        title: what it is, in words for an error message.
        recognise: tells a file by its content where no entry ``kind`` names it; files of ours have that entry
            or the keys of an official layout.
        loads: ``module:function`` that makes a ``models.aging_model.AgingModel`` of it, from the content, the
            name of the file and the dtype of activations; None for what ages no faces.
        official: ``module:function`` that makes the content of the official file of it, from the content and
            the name of the file; None where there is none.
        completes: ``module:function`` that puts the encoder of another file into it, from the content and the
            name of both; None where there is no encoder to put in.
    """

    title: str
    recognise: Recogniser = lambda checkpoint: False
    loads: str | None = None
    official: str | None = None
    completes: str | None = None


def roots(*names: str) -> Recogniser:
    """Recognises a state dict that has layers below all these names."""
    return lambda checkpoint: set(names) <= {key.partition(".")[0] for key in _state(checkpoint)}


def states(*names: str) -> Recogniser:
    """Recognises a file with a state dict under one of these entries."""
    return lambda checkpoint: any(isinstance(checkpoint.get(name), Mapping) for name in names)


def _state(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    return checkpoint.get("state_dict") or {}


def _is_resume_state(checkpoint: Mapping[str, Any]) -> bool:
    return {"networks", "optimizers"} <= checkpoint.keys()


def _is_ageing_encoder(checkpoint: Mapping[str, Any]) -> bool:
    state = _state(checkpoint)
    first = state.get("encoder.input_layer.0.weight")
    if isinstance(first, Tensor):
        return first.dim() == 4 and first.shape[1] == 4
    return "encoder.backbone.conv1.weight" in state  # a ResNet18AgeEncoder


def _is_generator(checkpoint: Mapping[str, Any]) -> bool:
    return states("g_ema", "g")(checkpoint) or roots("to_rgb1", "convs")(checkpoint)


_PSP, _PSP_OFFICIAL = "models.psp_aging:load_psp_aging", "models.psp_files:official_content"
_PAIRED = "models.directed:paired"
_AGE, _IDENTITY = "models.auxiliary:official_age_classifier", "models.auxiliary:official_identity"

# The first kind that recognises a file wins.
KINDS: dict[str, Kind] = {
    "resume": Kind("the resume state of a training, not its weights", _is_resume_state),
    "stylegan2_nvidia": Kind(
        "a StyleGAN2 in NVIDIA's layout (scripts/convert_weights.py converts it)",
        states("G_ema", "G", "D", "network"),
        official="models.stylegan2.nvidia:official_content",
        completes=_PAIRED,
    ),
    "stylegan2": Kind(
        "a StyleGAN2 checkpoint",
        _is_generator,
        official="models.stylegan2.layout:official_content",
        completes=_PAIRED,
    ),
    "directed": Kind(
        "a conditional StyleGAN2 with its encoder",
        loads="models.directed:load_directed",
        completes=_PAIRED,
    ),
    "reaging_gan": Kind("a Re-Aging GAN", loads="models.reaging_gan.aging:load_reaging_gan"),
    "onnx": Kind("an exported model", loads="models.onnx_aging:load_onnx"),
    "mytimemachine": Kind(
        "a MyTimeMachine checkpoint", roots("blender", "encoder"), loads=_PSP, official=_PSP_OFFICIAL
    ),
    "sam": Kind(
        "a SAM checkpoint",
        lambda checkpoint: roots("pretrained_encoder")(checkpoint) or _is_ageing_encoder(checkpoint),
        loads=_PSP,
        official=_PSP_OFFICIAL,
    ),
    "psp": Kind("a pSp checkpoint without an ageing encoder", roots("encoder"), official=_PSP_OFFICIAL),
    "age_classifier": Kind("an age classifier", roots("conv1_1", "fc6"), official=_AGE),
    "identity": Kind(
        "a face recognition network", roots("input_layer", "body", "output_layer"), official=_IDENTITY
    ),
    "facenet": Kind(
        "a face recognition network of facenet-pytorch",
        roots("conv2d_1a", "block8"),
        official="models.auxiliary:official_facenet",
    ),
    "judge_age": Kind("an age judge", official=_AGE),
    "judge_identity": Kind("an identity judge", official=_IDENTITY),
}
UNKNOWN = "unknown"


def checkpoint_kind(checkpoint: Mapping[str, Any]) -> str:
    """Recognises what ``load_checkpoint`` read, by its ``kind`` entry or its content.

    Returns:
        A key of :data:`KINDS`, the name in the file if that is none of them, or :data:`UNKNOWN`.
    """
    if isinstance(checkpoint.get("kind"), str):
        return checkpoint["kind"]
    return next((name for name, kind in KINDS.items() if kind.recognise(checkpoint)), UNKNOWN)


def what_is(checkpoint: Mapping[str, Any]) -> str:
    """What a checkpoint is, in words for an error message."""
    name = checkpoint_kind(checkpoint)
    if name == UNKNOWN:
        return "a checkpoint of a kind that is not known here"
    return KINDS[name].title if name in KINDS else f"a checkpoint of kind {name!r}"


def aging_loader(checkpoint: Mapping[str, Any], source: str) -> Callable[..., Any]:
    """The function that makes an ageing model of a file of this kind.

    Raises:
        InputError: the file ages no faces.
    """
    kind = KINDS.get(checkpoint_kind(checkpoint))
    if kind is None or kind.loads is None:
        ageing = ", ".join(name for name, known in KINDS.items() if known.loads)
        raise InputError(f"{source} is {what_is(checkpoint)}, not an ageing model ({ageing})")
    return implementation(kind.loads)


def official_content(checkpoint: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The content of an official file with the weights of a checkpoint, in float32.

    Raises:
        InputError: no official file has this kind of content, or the network is not of the official sizes
            where the official code knows only those.
    """
    kind = KINDS.get(checkpoint_kind(checkpoint))
    if kind is None or kind.official is None:
        raise InputError(f"{source} is {what_is(checkpoint)}; there is no official file of that kind")
    return implementation(kind.official)(checkpoint, source)


def completed(
    checkpoint: Mapping[str, Any], source: str, encoder: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """The content of a file with the encoder of another in its place.

    Raises:
        InputError: the first has no place for it, or the second is no encoder for it.
    """
    kind = KINDS.get(checkpoint_kind(checkpoint))
    if kind is None or kind.completes is None:
        raise InputError(f"--encoder_path is for StyleGAN2 checkpoints; {source} is {what_is(checkpoint)}")
    return implementation(kind.completes)(checkpoint, source, encoder, path)
