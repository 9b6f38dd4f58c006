"""Encoder of directed generation: the latent of a face, whatever its age (Inception-ResNet v1)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from models.inception_resnet_v1 import InceptionResnetV1
from models.loading import load_into
from utils.errors import InputError
from utils.pictures.tensors import resize

LATENT_SPACES = ("z", "w", "w+")
SMALLEST_INPUT = 75  # pixels that the strides of the backbone leave something of
OFFICIAL_LATENT = 512  # numbers of the embedding that the published encoder takes for z


class LatentEncoder(nn.Module):
    """Maps faces to a latent of a conditional generator that says who it is, and not how old.

    In Z it is the latent beside the class; in W and W+ what the code adds to the mean code of its class.

    Args:
        latent_space: ``z``, ``w`` or ``w+``.
        n_styles: vectors of a W+ code.
        style_dim: length of each.
        official: the published network, with its faults: the facenet embedding of 512 numbers, of length one,
            stands for z, of which the length is about 22.6; and pictures in [-1, 1] are standardised as if
            they were bytes.
        input_size: side at which it reads faces, at least 75.
        width: of the backbone, see :class:`InceptionResnetV1`.
        repeats: likewise.

    Raises:
        ValueError: the official network has no other latent than z of 512 numbers.
    """

    def __init__(
        self,
        latent_space: str,
        n_styles: int,
        style_dim: int,
        official: bool = False,
        input_size: int = 160,
        width: float = 1.0,
        repeats: Sequence[int] = (5, 10, 5),
    ) -> None:
        super().__init__()
        if latent_space not in LATENT_SPACES:
            raise ValueError(f"there is no latent space {latent_space!r}")
        if official and (latent_space != "z" or style_dim != OFFICIAL_LATENT):
            raise ValueError(f"the official encoder gives z of {OFFICIAL_LATENT} numbers and nothing else")
        if input_size < SMALLEST_INPUT:
            raise ValueError(f"the encoder reads no faces of less than {SMALLEST_INPUT} pixels")
        self.latent_space, self.official, self.input_size = latent_space, official, input_size
        self.shape = (n_styles, style_dim) if latent_space == "w+" else (style_dim,)
        self.backbone = InceptionResnetV1(
            input_size=input_size, embedding=official, width=width, repeats=repeats
        )
        numbers = n_styles * style_dim if latent_space == "w+" else style_dim
        self.head = None if official else nn.Linear(self.backbone.pooled_channels, numbers)

    def forward(self, images: Tensor) -> Tensor:
        """Latents (B, style_dim), or (B, n_styles, style_dim) in W+, of (B, 3, S, S) faces in [-1, 1]."""
        images = resize(images, self.input_size)
        if self.head is None:
            return self.backbone((images - 127.5) / 128)
        return self.head(self.backbone.pooled(images)).unflatten(1, self.shape)


def load_facenet(encoder: LatentEncoder, content: Mapping[str, Any], source: str) -> None:
    """Starts the backbone from a file of facenet-pytorch; its classifier is left out.

    Raises:
        InputError: the layers differ.
    """
    state = content.get("state_dict") or {}
    own = encoder.backbone.state_dict()
    if encoder.backbone.pooled_channels != 1792:
        raise InputError(f"{source} fits encoders of the published width only; use --encoder_width=1")
    load_into(encoder.backbone, {key: value for key, value in state.items() if key in own}, source)
