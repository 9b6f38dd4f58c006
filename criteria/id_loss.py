"""Identity loss: one minus the cosine similarity of face embeddings (ArcFace; SAM section 3.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from criteria.frozen import FrozenLoss, full_precision
from models.auxiliary import IdentityNetwork


class IDLoss(FrozenLoss):
    """``mean_i w_i (1 - S(generated_i) . S(target_i))`` with unit-length embeddings ``S``.

    Of several networks ``S`` is all embeddings one after another at unit length, so that similarities are the
    mean of theirs: what only one of them takes for likeness counts little.

    Args:
        network: takes whole aligned faces of any size, see ``models.auxiliary.load_identity``.
        further: others beside it.
    """

    def __init__(self, network: IdentityNetwork, further: Sequence[IdentityNetwork] = ()) -> None:
        super().__init__()
        self.network = self.freeze(network)
        self.further = self.freeze(nn.ModuleList(further))

    @property
    def networks(self) -> list[IdentityNetwork]:
        """All networks."""
        return [self.network, *self.further]

    def features(self, images: Tensor) -> Tensor:
        """Unit-length embeddings ``(B, D)`` of aligned faces ``(B, 3, S, S)`` in [-1, 1]."""
        embeddings = [full_precision(network.embed(images)) for network in self.networks]
        return embeddings[0] if len(embeddings) == 1 else torch.cat(embeddings, 1) / len(embeddings) ** 0.5

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
