"""The age code of Re-Aging GAN: what the age modulator is told about the age that is wanted."""

from torch import Tensor

CODE_LENGTH = 50  # numbers for each class
CODE_DEVIATION = 0.2  # of the noise in training


def age_code(shares: Tensor, noise: Tensor | None = None) -> Tensor:
    """The code z (B, 50 n) of n classes: ``z_i = 1[i belongs to the class] + v``, ``v ~ N(0, 0.2^2)``.

    Args:
        shares: of each class (B, n): one of them is 1, or two neighbours share it, for an age between them.
        noise: standard normal numbers (B, 50 n); None for none, as in inference.
    """
    code = shares.repeat_interleave(CODE_LENGTH, dim=1)
    return code if noise is None else code + CODE_DEVIATION * noise
