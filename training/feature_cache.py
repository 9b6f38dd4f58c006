"""What depends on a training picture and its flip alone is computed once."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class FeatureCache:
    """Tensors of training pictures, kept after the first time.

    Each picture is computed apart: no number depends on which came together in a batch, and a run that
    continues, which fills its cache in another order, computes the very same.

    Args:
        compute: maps (B, 3, S, S) pictures to named (B, ...) tensors.
        pictures: number of training pictures.
        device: where the tensors are kept.
    """

    def __init__(
        self,
        compute: Callable[[Tensor], Mapping[str, Tensor]],
        pictures: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._compute = compute
        self._device = device
        self._known = torch.zeros(pictures, 2, dtype=torch.bool)
        self._stores: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the features of a batch with `image`, `index` and `flip`, on the device of the pictures."""
        images, index, flip = batch["image"], batch["index"].cpu(), batch["flip"].cpu().long()
        unknown = (~self._known[index, flip]).nonzero().flatten()
        for row in unknown.split(1):
            if len(row):
                self._keep(images[row.to(images.device)], index[row], flip[row])
        places = index.to(self._device), flip.to(self._device)
        return {name: store[places].to(images.device) for name, store in self._stores.items()}

    def _keep(self, images: Tensor, index: Tensor, flip: Tensor) -> None:
        for name, value in self._compute(images).items():
            value = value.detach().float().to(self._device)
            if name not in self._stores:
                shape = (*self._known.shape, *value.shape[1:])
                self._stores[name] = torch.empty(shape, device=self._device)
            self._stores[name][index.to(self._device), flip.to(self._device)] = value
        self._known[index, flip] = True
