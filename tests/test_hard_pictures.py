"""Age classifiers that learn from the worst change of each picture."""

import torch

from training.hard_pictures import hardened


def test_hardened_pictures_are_near_and_worse() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 3, 8, 8) - 0.5
    weights = torch.randn(3, 8, 8)

    def loss(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures * weights).sum((1, 2, 3)).mean()

    harder = hardened(images, 0.5, loss)
    assert not harder.requires_grad and harder.abs().max() <= 1
    assert (harder - images).flatten(1).norm(dim=1).max() <= 0.5 + 1e-5
    steepest = 0.5 * weights.norm()
    gain = ((harder - images) * weights).sum((1, 2, 3))
    assert (gain > 0.7 * steepest).all()
