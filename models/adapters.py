"""Adapters of MyTimeMachine beside the official one: simpler maps from a global W+ code to one person's."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.blender import Blender, BlenderConfig, all_linear
from models.prepared import Prepared
from models.stacked import LaidTogether, lie_together
from utils.device import without_autocast
from utils.errors import InputError
from utils.exporting import exporting

START_LENGTH = 0.1  # of the Gaussian process, in units of 100 years: photos ten years apart inform each other
NOISE = 1e-2  # its variance beside that of the process: two photos of about one age need not agree
AGE_HIDDEN = 16


class DeltaAdapter(nn.Module):
    """Adds one learned offset to every code, the same at all ages."""

    def __init__(self, n_styles: int, style_dim: int, config: BlenderConfig) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(n_styles, style_dim))

    def forward(self, styles: Tensor, ages: Tensor) -> Tensor:
        """Codes (B, n_styles, style_dim) of the person, see :meth:`Blender.forward`."""
        return styles + self.delta


class LinearAdapter(LaidTogether):
    """Adds to every style a linear function of that style and the age, another one for each layer."""

    def __init__(self, n_styles: int, style_dim: int, config: BlenderConfig) -> None:
        super().__init__()
        self.n_styles = n_styles
        for style in range(n_styles):
            layer = nn.Linear(style_dim + 1, style_dim)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            self.add_module(f"layer_{style}", layer)
        self.lay_together()

    def forward(self, styles: Tensor, ages: Tensor) -> Tensor:
        """Codes (B, n_styles, style_dim) of the person, see :meth:`Blender.forward`."""
        each = styles.transpose(0, 1)
        inputs = torch.cat([each, ages.to(styles.dtype).reshape(1, -1, 1).expand(*each.shape[:2], 1)], dim=2)
        return styles + all_linear(self._layers(), inputs).transpose(0, 1)

    def _layers(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer_{style}") for style in range(self.n_styles)]

    def lay_together(self) -> None:
        lie_together([layer.weight for layer in self._layers()])
        lie_together([layer.bias for layer in self._layers()])


class BlendAdapter(nn.Module):
    """Goes a share of the way from the global code to the person's, which is a learned offset away.

    The share is one number for each age; it starts at 1 everywhere, as a :class:`DeltaAdapter`.
    """

    def __init__(self, n_styles: int, style_dim: int, config: BlenderConfig) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(n_styles, style_dim))
        self.share = nn.Sequential(nn.Linear(1, AGE_HIDDEN), nn.ReLU(), nn.Linear(AGE_HIDDEN, 1))
        nn.init.zeros_(self.share[2].weight)
        nn.init.ones_(self.share[2].bias)

    def forward(self, styles: Tensor, ages: Tensor) -> Tensor:
        """Codes (B, n_styles, style_dim) of the person, see :meth:`Blender.forward`."""
        return styles + self.share(ages.reshape(-1, 1))[:, :, None] * self.delta


class GaussianProcessAdapter(nn.Module):
    """Adds an offset that is a Gaussian process over age, seen at the ages of the person's photos.

    What is learned is the offset at those ages; at any age the posterior mean is added: an average of the
    offsets at near ages, and nothing, that is the global model, far away from all photos.

    Args:
        n_styles, style_dim: of the codes.
        config: ``ages`` says how many ages there are; the coach fills in :attr:`ages`.

    Attributes:
        ages: (A,) ages of the photos in units of 100 years.
        whitened: (A, n_styles, style_dim) the learned offsets, in units in which they are independent.

    Raises:
        InputError: gpytorch is not installed.
    """

    ages: Tensor

    def __init__(self, n_styles: int, style_dim: int, config: BlenderConfig) -> None:
        super().__init__()
        count = max(1, config.ages)
        self.register_buffer("ages", torch.linspace(0, 1, count))
        self.whitened = nn.Parameter(torch.zeros(count, n_styles, style_dim))
        # The length scale stands outside of the kernel: Ranger centres the gradient of every matrix, and of
        # gpytorch's (1, 1) parameter nothing would be left.
        self.log_length = nn.Parameter(torch.tensor([math.log(START_LENGTH)]))
        self.kernel = _unit_kernel()
        self._prepared: Prepared[Tensor] = Prepared()

    def forward(self, styles: Tensor, ages: Tensor) -> Tensor:
        """Codes (B, n_styles, style_dim) of the person, see :meth:`Blender.forward`."""
        with without_autocast(ages.device):
            length = self.log_length.exp()
            seen, wanted = (self.ages / length)[:, None], (ages.to(self.ages) / length)[:, None]
            between = self._covariance(wanted, seen)
            solved = self._prepared.of(
                [self.ages, self.log_length, self.whitened], partial(self._solved, seen)
            )
            offsets = (between @ solved).view(-1, *self.whitened.shape[1:])
        return styles + offsets

    def _covariance(self, one: Tensor, other: Tensor) -> Tensor:
        """The kernel (N, M) between ages (N, 1) and (M, 1) in length scales."""
        if exporting():  # gpytorch asks whether both are equal, which a graph cannot tell
            return torch.exp(-0.5 * (one - other.T).square())
        return self.kernel(one, other).to_dense()

    def _solved(self, seen: Tensor) -> Tensor:
        """L^-T V, (A, n_styles * style_dim), with L L^T = K(Z, Z) + noise and V the learned offsets."""
        among = self._covariance(seen, seen) + NOISE * torch.eye(len(seen), device=seen.device)
        factor = torch.linalg.cholesky_ex(among).L  # _ex: without a question that a GPU must answer
        return torch.linalg.solve_triangular(factor.T, self.whitened.flatten(1), upper=True)


def _unit_kernel() -> Any:
    """The squared-exponential kernel of gpytorch with a length scale of 1.

    Raises:
        InputError: gpytorch is not installed.
    """
    try:
        from gpytorch.constraints import Interval
        from gpytorch.kernels import RBFKernel
    except ImportError as error:
        raise InputError(
            "--blender_type=gaussian_process, and files that were trained with it, need gpytorch; "
            "run: pip install 'gpytorch>=1.13'"
        ) from error
    kernel = RBFKernel(lengthscale_constraint=Interval(0.5, 2.0))  # the usual one holds an infinity
    kernel.lengthscale = 1.0
    return kernel.requires_grad_(False)


ADAPTERS: dict[str, Callable[[int, int, BlenderConfig], nn.Module]] = {
    "bottleneck": Blender,
    "delta": DeltaAdapter,
    "linear": LinearAdapter,
    "blend": BlendAdapter,
    "gaussian_process": GaussianProcessAdapter,
}
MOST_AGES = 32  # that a Gaussian process is seen at; more lie too near each other to add anything


def build_adapter(n_styles: int, style_dim: int, config: BlenderConfig) -> nn.Module:
    """The adapter that a configuration describes.

    All but the official one start as the identity, whatever ``zero_init`` says.

    Raises:
        InputError: a package that it needs is not installed.
        ValueError: there is no adapter of that type, or it leaves no style to change.
    """
    if config.type not in ADAPTERS:
        raise ValueError(f"{config.type!r} is no type of adapter (known: {', '.join(ADAPTERS)})")
    if config.fixed_styles >= n_styles:
        raise ValueError(
            f"an adapter that leaves {config.fixed_styles} styles alone, and a code has {n_styles}"
        )
    return ADAPTERS[config.type](n_styles - config.fixed_styles, style_dim, config)
