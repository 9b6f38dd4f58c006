"""Identity loss: one minus the cosine similarity of face embeddings (ArcFace; SAM section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria.frozen import FrozenLoss, full_precision
from utils.faces.boxes import FACE_CROP, FractionalCrop

REFERENCE_SIZE = 256  # the size at which the official crop is defined


class IDLoss(FrozenLoss):
    """``mean_i w_i (1 - S(generated_i) . S(target_i))`` with unit-length embeddings ``S``.

    Args:
        network: either a module with ``embed(images) -> (B, D)``, which takes whole aligned faces of any size
            (``models.auxiliary.load_identity``), or a bare backbone that takes ``input_size`` face crops.
        crop: part of the aligned face that a bare backbone sees.
        input_size: side of the crop that a bare backbone sees, pixels.
    """

    def __init__(self, network: nn.Module, crop: FractionalCrop = FACE_CROP, input_size: int = 112) -> None:
        super().__init__()
        self.network = self.freeze(network)
        self.crop = crop
        self.input_size = input_size

    def prepare(self, images: Tensor) -> Tensor:
        """``(B, 3, S, S)`` aligned faces to ``(B, 3, input_size, input_size)`` crops.

        Larger pictures are first averaged down to 256 pixels, as MyTimeMachine does (SAM crops them wrongly).
        """
        if images.shape[-1] > REFERENCE_SIZE:
            images = F.adaptive_avg_pool2d(images, REFERENCE_SIZE)
        face = self.crop(images)
        if face.shape[-1] < self.input_size:  # average pooling would only repeat pixels here
            return F.interpolate(
                face, (self.input_size, self.input_size), mode="bilinear", align_corners=False
            )
        return F.adaptive_avg_pool2d(face, self.input_size)

    def features(self, images: Tensor) -> Tensor:
        """Unit-length embeddings ``(B, D)`` of aligned faces ``(B, 3, S, S)`` in [-1, 1]."""
        embed = getattr(self.network, "embed", None)
        embedding = embed(images) if embed is not None else self.network(self.prepare(images))
        return F.normalize(full_precision(embedding), dim=1)

    def forward(
        self,
        generated: Tensor,
        target: Tensor | None = None,
        *,
        target_features: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss and similarity of each pair.

        Args:
            generated: images ``(B, 3, S, S)``.
            target: images to resemble; not needed where ``target_features`` are given.
            target_features: their embeddings ``(B, D)``, so that they need not be computed again.
            weights: one constant per image ``(B,)``, for instance ``cosine_weight``; 1 where absent.

        Returns:
            The loss, and the cosine similarities ``(B,)`` with their graph.

        Raises:
            ValueError: if neither target nor features are given.
        """
        if target_features is None:
            if target is None:
                raise ValueError("IDLoss needs target images or their features")
            with torch.no_grad():
                target_features = self.features(target)
        similarity = cosine_similarity(self.features(generated), target_features)
        return weighted_identity_loss(similarity, weights), similarity


def cosine_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Row by row scalar product of unit-length features ``(B, D)``; no gradient reaches the second."""
    return (first * second.detach()).sum(dim=1)


def weighted_identity_loss(similarity: Tensor, weights: Tensor | None = None) -> Tensor:
    """``mean_i w_i (1 - similarity_i)``; the weights ``(B,)`` are constants."""
    distance = 1 - similarity
    return distance.mean() if weights is None else (weights.detach() * distance).mean()
