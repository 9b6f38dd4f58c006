"""Running averages of weights: what makes the end of a training steady."""

import torch
from torch import nn

EMA_RAMP = 0.05  # half-life as a share of the pictures seen so far (StyleGAN2-ADA)


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves weights and floating-point buffers of `averaged` towards `network`; copies counters."""
    pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
    floats = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
    torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], 1 - decay)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)


def average_decay(halflife: float, batch_size: int, step: int, ramp: float = EMA_RAMP) -> float:
    """Decay of an average whose half-life, in pictures, grows with those seen: so the start is forgotten.

    Args:
        halflife: in pictures.
        batch_size: pictures a step.
        step: counted from 0.
        ramp: most of the half-life as a share of the pictures seen; 0 for no such bound.
    """
    seen = (step + 1) * batch_size
    return 0.5 ** (batch_size / (min(halflife, ramp * seen) if ramp else halflife))
