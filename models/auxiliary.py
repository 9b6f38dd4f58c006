"""Frozen helper networks: the age classifier and the face recognition network of losses and judges."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import checked_sizes
from models.dex_vgg import VGG, expected_age, file_keys, official_keys
from models.encoders.helpers import l2_norm
from models.encoders.model_irse import Backbone
from models.inception_resnet_v1 import InceptionResnetV1
from models.kinds import checkpoint_kind, what_is
from models.loading import built_from, described_by, weights_of
from models.weights_folder import load_published
from utils.errors import InputError
from utils.faces.boxes import FACE_CROP, FractionalCrop
from utils.files.checkpoints import Checkpoint

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "vgg": VGG,
    "ir_se": Backbone,
    "inception_resnet_v1": InceptionResnetV1,
}
AGE_KINDS = ("age_classifier", "judge_age")
IDENTITY_KINDS = ("identity", "judge_identity", "facenet")
ALIGNED_SIZE = 256  # pixels of the aligned faces that the official networks were used with
OFFICIAL_DEX: dict[str, Any] = {"network": "vgg", "num_classes": 101, "input_size": 224}
OFFICIAL_IDENTITY: dict[str, Any] = {"network": "ir_se", "input_size": 112, "num_layers": 50}
OFFICIAL_FACENET: dict[str, Any] = {"network": "inception_resnet_v1", "input_size": 160}


def build_network(architecture: Mapping[str, Any]) -> nn.Module:
    """Makes the network described by the ``architecture`` entry of a file.

    Args:
        architecture: ``network`` (a key of :data:`NETWORKS`) and the arguments of its constructor; ``crop``,
            which belongs to the wrapper, is ignored.

    Raises:
        InputError: unknown network or arguments.
    """
    arguments = {key: value for key, value in architecture.items() if key not in ("network", "crop")}
    name = architecture.get("network")
    if not isinstance(name, str) or name not in NETWORKS:
        raise InputError(f"the file names an unknown network {name!r} (known: {', '.join(NETWORKS)})")
    try:
        return NETWORKS[name](**checked_sizes(NETWORKS[name], arguments))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"the file's architecture makes no {name} network: {error}") from error


def network_checkpoint(kind: str, architecture: Mapping[str, Any], network: nn.Module, **extra: Any) -> dict:
    """The content of a file that :func:`load_age_classifier` or :func:`load_identity` reads.

    Args:
        kind: one of :data:`AGE_KINDS` or :data:`IDENTITY_KINDS`.
        architecture: what :func:`build_network` takes.
        network: the trained network.
        extra: further entries, such as ``opts`` or measured figures.
    """
    if kind not in AGE_KINDS + IDENTITY_KINDS:
        raise ValueError(f"kind must be one of {AGE_KINDS + IDENTITY_KINDS}, not {kind!r}")
    return {"kind": kind, "architecture": dict(architecture), "state_dict": network.state_dict(), **extra}


class FrozenNetwork(nn.Module):
    """A network in eval mode for ever whose weights take no gradient; the images still do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.input_size: int = network.input_size
        self.eval()

    def train(self, mode: bool = True) -> "FrozenNetwork":
        """Stays in eval mode whatever ``mode`` is."""
        return super().train(False)


class AgeClassifier(FrozenNetwork):
    """Predicts ages from aligned faces (B, 3, S, S) in [-1, 1] of any size."""

    def prepare(self, images: Tensor) -> Tensor:
        """Resizes to the network's input as the official ageing loss does: bilinear, no antialiasing.

        Pictures larger than the official 256 (in the network's proportion) are first averaged down to that.
        """
        aligned = round(self.input_size * ALIGNED_SIZE / OFFICIAL_DEX["input_size"])
        if images.shape[-1] > aligned:
            images = F.adaptive_avg_pool2d(images, aligned)
        if images.shape[-1] == self.input_size:
            return images
        return F.interpolate(images, (self.input_size, self.input_size), mode="bilinear", align_corners=False)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, classes), one class for each year."""
        return self.network(self.prepare(images))

    def predict_age(self, images: Tensor) -> Tensor:
        """Expected age in years (B,); differentiable."""
        return expected_age(_float(self.logits(images)))

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Activations of the network's stages for images of any size, not resized.

        Raises:
            InputError: the network is not a ``vgg``.
        """
        return self._vgg.feature_maps(images)

    def first_maps(self, images: Tensor) -> list[Tensor]:
        """The same of the first convolution of each stage.

        Raises:
            InputError: the network is not a ``vgg``.
        """
        return self._vgg.first_maps(images)

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of each of the ``feature_maps``.

        Raises:
            InputError: the network is not a ``vgg``.
        """
        return self._vgg.channels

    @property
    def _vgg(self) -> VGG:
        if not isinstance(self.network, VGG):
            raise InputError("an age classifier whose features are wanted must be of the network type vgg")
        return self.network

    def forward(self, images: Tensor) -> Tensor:
        return self.predict_age(images)


class IdentityNetwork(FrozenNetwork):
    """Embeds aligned faces (B, 3, S, S) in [-1, 1] of any size.

    Args:
        network: maps (B, 3, input_size, input_size) crops to embeddings.
        crop: what the network sees of the aligned face.
    """

    def __init__(self, network: nn.Module, crop: FractionalCrop = FACE_CROP) -> None:
        super().__init__(network)
        self.crop = crop

    def prepare(self, images: Tensor) -> Tensor:
        """Pictures above 256 pixels averaged down to that, cut to the face, averaged down to the input."""
        if images.shape[-1] > ALIGNED_SIZE:
            images = F.adaptive_avg_pool2d(images, ALIGNED_SIZE)
        face = self.crop(images)
        size = (self.input_size, self.input_size)
        if tuple(face.shape[-2:]) == size:
            return face
        if min(face.shape[-2:]) < self.input_size:
            return F.interpolate(face, size, mode="bilinear", align_corners=False)
        return F.adaptive_avg_pool2d(face, size)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, D) of unit length; differentiable."""
        return l2_norm(_float(self.network(self.prepare(images))))

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images)


def _float(x: Tensor) -> Tensor:
    """Half precision becomes float32, anything wider stays."""
    return x.float() if x.element_size() < 4 else x


def load_age_classifier(path: str | Path, device: str | torch.device = "cpu") -> AgeClassifier:
    """Loads an age classifier: a file of ours (``age_classifier``, ``judge_age``) or the official DEX file.

    Raises:
        InputError: the file cannot be read or is something else.
    """
    checkpoint = _checked(path, AGE_KINDS, "an age classifier")
    state = official_keys(weights_of(checkpoint, str(path)))
    architecture = checkpoint.get("architecture") or OFFICIAL_DEX
    return AgeClassifier(_loaded(architecture, state, path)).to(device)


def load_identity(path: str | Path, device: str | torch.device = "cpu") -> IdentityNetwork:
    """Loads a face network of whatever layout.

    That is a file of ours (``identity``, ``judge_identity``), ``model_ir_se50.pth``, or one of
    facenet-pytorch's (``20180402-114759-vggface2.pt``).

    Raises:
        InputError: the file cannot be read or is something else.
    """
    checkpoint = _checked(path, IDENTITY_KINDS, "a face recognition network")
    state = weights_of(checkpoint, str(path))
    architecture = checkpoint.get("architecture") or _official_face_network(state)
    network = _loaded(architecture, state, path)
    with described_by(str(path)):
        crop = FractionalCrop(*architecture["crop"]) if architecture.get("crop") else FACE_CROP
    return IdentityNetwork(network, crop).to(device)


def _official_face_network(state: Mapping[str, Tensor]) -> dict[str, Any]:
    if checkpoint_kind({"state_dict": state}) != "facenet":
        return OFFICIAL_IDENTITY
    head = state.get("logits.bias")
    return {**OFFICIAL_FACENET, "num_classes": None if head is None else head.numel()}


def _checked(path: str | Path, kinds: tuple[str, ...], wanted: str) -> dict[str, Any]:
    checkpoint = load_published(path)
    if checkpoint_kind(checkpoint) not in kinds:
        raise InputError(f"{path} is {what_is(checkpoint)}, not {wanted}")
    return checkpoint


def _loaded(architecture: Mapping[str, Any], state: Mapping[str, Tensor], path: str | Path) -> nn.Module:
    try:
        own = architecture in (OFFICIAL_DEX, OFFICIAL_IDENTITY)
        network = built_from(lambda: build_network(architecture), state, str(path), own_sizes=own)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    return network.to(memory_format=torch.channels_last)


# ---------------------------------------------------------------- official files


def official_age_classifier(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of ``dex_age_classifier.pth``: ``state_dict`` with ``fc8-101``.

    Raises:
        InputError: the network is not of the official sizes.
    """
    state = official_keys(weights_of(checkpoint, source))
    return {"state_dict": file_keys(_fitted(OFFICIAL_DEX, state, source))}


def official_identity(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of ``model_ir_se50.pth``: the state dict itself.

    Raises:
        InputError: the network is not of the official sizes.
    """
    return _fitted(OFFICIAL_IDENTITY, weights_of(checkpoint, source), source)


def official_facenet(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of a file of facenet-pytorch: the state dict itself.

    Raises:
        InputError: the layers do not fit.
    """
    state = weights_of(checkpoint, source)
    return _fitted(_official_face_network(state), state, source)


def _fitted(architecture: Mapping[str, Any], state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The state dict as the official network of that architecture has it."""
    try:
        network = built_from(lambda: build_network(architecture), state, source, own_sizes=True)
    except InputError as error:
        raise InputError(f"there is no official file with a network such as this: {error}") from error
    return network.state_dict()
