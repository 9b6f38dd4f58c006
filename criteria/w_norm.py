"""W-norm loss: distance of W+ codes to the average code (pSp; SAM section 3.3)."""

from torch import Tensor, nn


def w_norm(latent: Tensor, average: Tensor | None = None) -> Tensor:
    """2-norm of each code ``(B, n_styles, D)`` over all its styles, ``(B,)``.

    ``average`` of shape ``(n_styles, D)`` or ``(D,)`` is subtracted first.
    """
    if average is not None:
        latent = latent - average
    return latent.flatten(1).norm(dim=1)


class WNormLoss(nn.Module):
    """``mean_i ||w_i - average||``, or ``mean_i ||w_i||`` for an encoder that starts from nothing.

    Args:
        start_from_latent_avg: the encoder adds its result to the average code.
        start_from_encoded_w_plus: the encoder adds its result to the average and the code of a frozen
            encoder.
    """

    def __init__(self, start_from_latent_avg: bool = True, start_from_encoded_w_plus: bool = False) -> None:
        super().__init__()
        self.subtract_average = start_from_latent_avg or start_from_encoded_w_plus

    def forward(self, latent: Tensor, latent_avg: Tensor | None = None) -> Tensor:
        """Scalar loss of ``(B, n_styles, D)`` codes.

        Raises:
            ValueError: if the average is needed and absent.
        """
        if not self.subtract_average:
            return w_norm(latent).mean()
        if latent_avg is None:
            raise ValueError("WNormLoss needs latent_avg for an encoder that starts from the average code")
        return w_norm(latent, latent_avg).mean()
