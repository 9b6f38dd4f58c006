"""W-norm: distance of W+ codes to the average code (pSp; SAM section 3.3)."""

from torch import Tensor


def w_norm(latent: Tensor, average: Tensor | None = None) -> Tensor:
    """2-norm of each code ``(B, n_styles, D)`` over all its styles, ``(B,)``.

    ``average`` of shape ``(n_styles, D)`` or ``(D,)`` is subtracted first.
    """
    if average is not None:
        latent = latent - average
    return latent.flatten(1).norm(dim=1)
