"""Distance of W+ codes from the codes of photos, measured in standard deviations (Mahalanobis)."""

from torch import Tensor, nn

from models.stylegan2.shared_latent import principal_components


class CodeSpread(nn.Module):
    """Mean squared number of standard deviations: 1 on average for codes of photos, more for unlikely ones.

    The W-norm measures every direction of W+ alike, so that a code may leave the photos along a direction in
    which they hardly differ, and the picture becomes one that only a classifier takes for a face of that age.
    Here such a step is as long as the photos make it. Not in the official code.

    Args:
        codes: (N, n_styles, D) codes of photos.
        components: leading directions that have a deviation of their own; all others share that of the last.
    """

    mean: Tensor
    whitening: Tensor
    directions: Tensor
    rest: Tensor

    def __init__(self, codes: Tensor, components: int = 128) -> None:
        super().__init__()
        components = min(components, len(codes) - 1, codes[0].numel())
        mean, scaled = principal_components(codes.double(), components)
        scaled = scaled.flatten(0, 1)
        deviations = scaled.norm(dim=0).clamp_min(1e-6)
        directions = scaled / deviations
        self.register_buffer("mean", mean.float())
        self.register_buffer("directions", directions.float())
        self.register_buffer("whitening", (1 / deviations).float())
        self.register_buffer("rest", (1 / deviations[-1].square()).float())

    def forward(self, codes: Tensor) -> Tensor:
        """Value of each code (B, n_styles, D), shape (B,)."""
        offsets = (codes - self.mean).flatten(1)
        along = offsets @ self.directions
        squared = (along * self.whitening).square().sum(1)
        beside = (offsets.square().sum(1) - along.square().sum(1)).clamp_min(0) * self.rest
        return (squared + beside) / len(self.whitening)
