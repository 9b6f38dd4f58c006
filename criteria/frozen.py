"""Base class of losses that look at images through a network which is never trained."""

from typing import TypeVar

from torch import Tensor, nn

Self = TypeVar("Self", bound="FrozenLoss")


class FrozenLoss(nn.Module):
    """Keeps every network inside it in eval mode and without parameter gradients.

    Gradients still pass through the networks to the images.
    """

    def freeze(self, network: nn.Module) -> nn.Module:
        """Puts a network into eval mode, takes its parameters out of autograd, and returns it."""
        return network.eval().requires_grad_(False)

    def train(self: Self, mode: bool = True) -> Self:
        """Stays in eval mode whatever ``mode`` says: batch statistics must not leak into a loss."""
        return super().train(False)


def full_precision(tensor: Tensor) -> Tensor:
    """Half-precision activations become float32; float32 and float64 stay as they are."""
    return tensor.float() if tensor.element_size() < 4 else tensor
