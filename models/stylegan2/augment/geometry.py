"""The geometric augmentations: one warp of each picture between doubling and halving the resolution."""

import math

import torch
from torch import Tensor

from models.stylegan2.augment.choices import Augmentations, Draws
from models.stylegan2.augment.resampling import doubling_matrix, halving_matrix
from models.stylegan2.augment.sampling import sample


def draw_transform(draws: Draws, chosen: Augmentations, width: int, height: int) -> Tensor:
    """Affine maps (B, 2, 3) from each pixel of a result to where it comes from.

    Both are (x, y) in pixels from the centre. Each operation is inverted, and the first one stands first.
    """
    p, side = draws.p, torch.tensor([width, height], dtype=torch.float32)
    linear, offset = torch.eye(2).expand(draws.count, 2, 2), torch.zeros(draws.count, 2, 1)
    if chosen.xflip > 0:
        mirrored = 1 - 2 * draws.whole(p * chosen.xflip, 2)
        linear = _stretched(linear, mirrored, torch.ones_like(mirrored))
    if chosen.rotate90 > 0:
        linear = _turned(linear, math.pi / 2 * draws.whole(p * chosen.rotate90, 4))
    if chosen.xint > 0:
        shift = (draws.uniform(p * chosen.xint, 2) * chosen.xint_max * side).round()
        offset = offset - linear @ shift[:, :, None]
    if chosen.scale > 0:
        linear = linear * torch.exp2(-draws.normal(p * chosen.scale) * chosen.scale_std)[:, :, None]
    # Of two rotations each is as likely that one at least happens with the probability asked for.
    once = 1 - math.sqrt(1 - min(1.0, p * chosen.rotate))
    if chosen.rotate > 0:
        linear = _turned(linear, draws.uniform(once) * math.pi * chosen.rotate_max)
    if chosen.aniso > 0:
        factor = torch.exp2(-draws.normal(p * chosen.aniso) * chosen.aniso_std)
        linear = _stretched(linear, factor, 1 / factor)
    if chosen.rotate > 0 and draws.percentile is None:
        linear = _turned(linear, draws.uniform(once) * math.pi * chosen.rotate_max)
    if chosen.xfrac > 0:
        shift = draws.normal(p * chosen.xfrac, 2) * chosen.xfrac_std * side
        offset = offset - linear @ shift[:, :, None]
    return torch.cat([linear, offset], 2)


def _stretched(linear: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Maps (B, 2, 2) after factors (B, 1) along the axes."""
    return linear * torch.cat([x, y], 1)[:, None]


def _turned(linear: Tensor, angle: Tensor) -> Tensor:
    """Maps (B, 2, 2) after rotations by angles (B, 1)."""
    cosine, sine = angle.cos(), angle.sin()
    return linear @ torch.cat([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)


def warped(images: Tensor, transform: Tensor, low_pass: Tensor) -> Tensor:
    """Pictures (B, C, H, W) after a transform of :func:`draw_transform`, of the same size."""
    height, width = images.shape[2:]
    spare = len(low_pass) // 4  # pixels around the result that halving needs
    left, top, right, bottom = _margins(transform, width, height, 2 * spare)
    low_pass = low_pass.to(images.dtype)
    wider = doubling_matrix(low_pass, width, left, right)
    higher = doubling_matrix(low_pass, height, top, bottom)
    fine = higher @ (images @ wider.mT)
    # Pixel i is fine pixel 2 i, half a fine one before the place it had by its distance from the centre.
    sides = torch.tensor([left + width + right, top + height + bottom], dtype=torch.float32)
    moved = torch.tensor([left - right - 0.5, top - bottom - 0.5])
    rows = torch.cat([transform[:, :, :2], 2 * transform[:, :, 2:] + moved[:, None]], 2) / sides[:, None]
    grid = _grid(rows.to(images, non_blocking=True), width + 2 * spare, height + 2 * spare)
    columns = halving_matrix(low_pass, width, spare)
    return halving_matrix(low_pass, height, spare) @ (sample(fine, grid) @ columns.mT)


def _margins(transform: Tensor, width: int, height: int, spare: int) -> list[int]:
    """Pixels beyond the borders (left, top, right, bottom) that any of the results may show.

    At most those that mirroring once gives; beyond them the result is 0.
    """
    side = torch.tensor([width, height])
    centre = (side - 1) / 2
    corners = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * centre
    places = corners @ transform[:, :, :2].mT + transform[:, None, :, 2]
    reach = torch.stack([-places, places]).amax((1, 2)) + spare - centre
    return reach.clamp(min=0).minimum(side - 1).ceil().int().flatten().tolist()


def _grid(rows: Tensor, width: int, height: int) -> Tensor:
    """Where (B, 2 height, 2 width, 2) the fine pixels of a result lie, by the matrices (B, 2, 3)."""
    across = torch.arange(1 - width, 1 + width, device=rows.device, dtype=rows.dtype)
    down = torch.arange(1 - height, 1 + height, device=rows.device, dtype=rows.dtype)
    from_x = across[:, None] * rows[:, None, :, 0]
    from_y = down[:, None] * rows[:, None, :, 1] + rows[:, None, :, 2]
    return from_y[:, :, None] + from_x[:, None]
