"""What depends on a training picture and its flip alone is computed once."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

ON_GPU = 8  # pictures computed together where that is faster


class FeatureCache:
    """Tensors of training pictures, kept after the first time.

    No number depends on which pictures came together in a batch, so a run that continues, which fills its
    cache in another order, computes the very same. On a CPU each picture is computed apart; on a GPU so many
    at a time, always as many, if its kernels give each the same bits in any place and company.

    Args:
        compute: maps (B, 3, S, S) pictures to named (B, ...) tensors.
        pictures: number of training pictures.
        device: where the tensors are kept.
        together: pictures computed at a time; by the device of the pictures if None.
    """

    def __init__(
        self,
        compute: Callable[[Tensor], Mapping[str, Tensor]],
        pictures: int,
        device: torch.device | str = "cpu",
        together: int | None = None,
    ) -> None:
        self._compute = compute
        self._device = device
        self._known = torch.zeros(pictures, 2, dtype=torch.bool)
        self._stores: dict[str, Tensor] = {}
        self._wanted, self._together = together, 0

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the features of a batch with `image`, `index` and `flip`, on the device of the pictures."""
        images = batch["image"]
        if isinstance(images, FakeTensor):  # of a rehearsal: there is nothing to remember
            features = {name: value.float() for name, value in self._compute(images).items()}
            for name, value in features.items():
                self._make_room(name, value)
            return features
        index, flip = batch["index"].cpu(), batch["flip"].cpu().long()
        unknown = (~self._known[index, flip]).nonzero().flatten()
        if len(unknown):
            self._together = self._together or self._how_many(images)
            for rows in unknown.split(self._together):
                self._keep(images[rows.to(images.device)], index[rows], flip[rows])
        places = index.to(self._device), flip.to(self._device)
        return {name: store[places].to(images.device) for name, store in self._stores.items()}

    def _how_many(self, images: Tensor) -> int:
        wanted = self._wanted or (ON_GPU if images.device.type == "cuda" else 1)
        noise = torch.rand(2 * wanted, *images.shape[1:], generator=torch.Generator().manual_seed(0))
        one, other = (2 * noise - 1).to(images).split(wanted)
        return wanted if wanted == 1 or self._is_indifferent(one, other) else 1

    def _is_indifferent(self, one: Tensor, other: Tensor) -> bool:
        """Whether a picture of (B, 3, S, S) has the same features in any place, beside any others."""
        expected = self._compute(one)
        for place in range(len(one)):
            mixed = other.clone()
            mixed[place] = one[0]
            found = self._compute(mixed)
            if not all(torch.equal(found[name][place], value[0]) for name, value in expected.items()):
                return False
        return True

    def _keep(self, images: Tensor, index: Tensor, flip: Tensor) -> None:
        missing = self._together - len(images)
        padded = torch.cat([images, images[:1].expand(missing, -1, -1, -1)]) if missing else images
        for name, value in self._compute(padded).items():
            value = value[: len(images)].detach().float().to(self._device)
            self._make_room(name, value)
            self._stores[name][index.to(self._device), flip.to(self._device)] = value
        self._known[index, flip] = True

    def _make_room(self, name: str, value: Tensor) -> None:
        if isinstance(self._stores.get(name), (FakeTensor, type(None))):
            shape = (*self._known.shape, *value.shape[1:])
            self._stores[name] = torch.empty(shape, device=self._device)
