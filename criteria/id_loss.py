"""Identity loss: one minus the cosine similarity of face embeddings (ArcFace; SAM section 3.3)."""

from torch import Tensor

from criteria.frozen import FrozenLoss, full_precision
from models.auxiliary import IdentityNetwork


class IDLoss(FrozenLoss):
    """``mean_i w_i (1 - S(generated_i) . S(target_i))`` with unit-length embeddings ``S``.

    Args:
        network: takes whole aligned faces of any size, see ``models.auxiliary.load_identity``.
    """

    def __init__(self, network: IdentityNetwork) -> None:
        super().__init__()
        self.network = self.freeze(network)

    def features(self, images: Tensor) -> Tensor:
        """Unit-length embeddings ``(B, D)`` of aligned faces ``(B, 3, S, S)`` in [-1, 1]."""
        return full_precision(self.network.embed(images))

    def forward(
        self, generated: Tensor, target_features: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss and similarity of each pair.

        Args:
            generated: images ``(B, 3, S, S)``.
            target_features: embeddings ``(B, D)`` of the images to resemble.
            weights: one constant per image ``(B,)``, for instance ``cosine_weight``; 1 where absent.

        Returns:
            The loss, and the cosine similarities ``(B,)`` with their graph.
        """
        similarity = cosine_similarity(self.features(generated), target_features)
        return weighted_identity_loss(similarity, weights), similarity


def cosine_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Row by row scalar product of unit-length features ``(B, D)``; no gradient reaches the second."""
    return (first * second.detach()).sum(dim=1)


def weighted_identity_loss(similarity: Tensor, weights: Tensor | None = None) -> Tensor:
    """``mean_i w_i (1 - similarity_i)``; the weights ``(B,)`` are constants."""
    distance = 1 - similarity
    return distance.mean() if weights is None else (weights.detach() * distance).mean()
