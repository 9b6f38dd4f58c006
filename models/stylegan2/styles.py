"""W+ codes: style mixing (StyleGAN, Karras et al. 2019, section 3.1)."""

from collections.abc import Sequence

from torch import Tensor

from utils.errors import InputError


def require_styles(styles: Sequence[int], count: int) -> None:
    """Checks the styles that a command line names.

    Raises:
        InputError: one does not exist in codes of so many.
    """
    outside = [style for style in styles if not 0 <= style < count]
    if outside:
        raise InputError(f"--latent_mask: there is no style {outside[0]}, the codes have 0..{count - 1}")


def mix_styles(
    codes: Tensor, styles: Sequence[int], inject_latent: Tensor | None = None, alpha: float | None = None
) -> Tensor:
    """Replaces the given styles of (B, n_styles, style_dim) codes, or blends them with weight ``alpha``.

    Without ``inject_latent`` they become zero.

    Raises:
        InputError: a style does not exist in the code.
    """
    require_styles(styles, codes.shape[1])
    mixed = codes.clone()
    index = list(styles)
    if inject_latent is None:
        mixed[:, index] = 0
    elif alpha is None:
        mixed[:, index] = inject_latent[:, index].to(codes.dtype)
    else:
        mixed[:, index] = alpha * inject_latent[:, index].to(codes.dtype) + (1 - alpha) * codes[:, index]
    return mixed
