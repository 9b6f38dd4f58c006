"""The geometric augmentations: one warp of each picture between doubling and halving the resolution."""

import math

import torch
from torch import Tensor

from models.stylegan2.augment.choices import Augmentations, Draws
from models.stylegan2.augment.resampling import doubling_matrix, halving_matrix
from models.stylegan2.augment.sampling import sample


def draw_transform(draws: Draws, chosen: Augmentations, width: int, height: int) -> Tensor:
    """Homogeneous matrices (B, 3, 3) from each pixel of a result to where it comes from.

    Both are (x, y) in pixels from the centre. Each operation is inverted, and the first one stands first.
    """
    p, side = draws.p, torch.tensor([width, height], dtype=torch.float32)
    transform = torch.eye(3).expand(draws.count, 3, 3)
    if chosen.xflip > 0:
        mirrored = 1 - 2 * draws.whole(p * chosen.xflip, 2)
        transform = transform @ _scaling(mirrored, torch.ones_like(mirrored))
    if chosen.rotate90 > 0:
        transform = transform @ _rotation(math.pi / 2 * draws.whole(p * chosen.rotate90, 4))
    if chosen.xint > 0:
        shift = draws.uniform(p * chosen.xint, 2) * chosen.xint_max
        transform = transform @ _translation(-(shift * side).round())
    if chosen.scale > 0:
        factor = torch.exp2(-draws.normal(p * chosen.scale) * chosen.scale_std)
        transform = transform @ _scaling(factor, factor)
    # Of two rotations each is as likely that one at least happens with the probability asked for.
    once = 1 - math.sqrt(1 - min(1.0, p * chosen.rotate))
    if chosen.rotate > 0:
        transform = transform @ _rotation(draws.uniform(once) * math.pi * chosen.rotate_max)
    if chosen.aniso > 0:
        factor = torch.exp2(-draws.normal(p * chosen.aniso) * chosen.aniso_std)
        transform = transform @ _scaling(factor, 1 / factor)
    if chosen.rotate > 0 and draws.percentile is None:
        transform = transform @ _rotation(draws.uniform(once) * math.pi * chosen.rotate_max)
    if chosen.xfrac > 0:
        shift = draws.normal(p * chosen.xfrac, 2) * chosen.xfrac_std
        transform = transform @ _translation(-shift * side)
    return transform


def _matrices(*cells: Tensor) -> Tensor:
    """(B, 3, 3) of six cells (B, 1), row by row; the last row is (0, 0, 1)."""
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(cells[0]), 3)
    return torch.cat([*cells, last], 1).view(-1, 3, 3)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrices(x, zero, zero, zero, y, zero)


def _rotation(angle: Tensor) -> Tensor:
    zero, cosine, sine = torch.zeros_like(angle), angle.cos(), angle.sin()
    return _matrices(cosine, -sine, zero, sine, cosine, zero)


def _translation(shift: Tensor) -> Tensor:
    x, y = shift.split(1, 1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrices(one, zero, x, zero, one, y)


def warped(images: Tensor, transform: Tensor, low_pass: Tensor) -> Tensor:
    """Pictures (B, C, H, W) after a transform of :func:`draw_transform`, of the same size."""
    height, width = images.shape[2:]
    spare = len(low_pass) // 4  # pixels around the result that halving needs
    left, top, right, bottom = _margins(transform, width, height, 2 * spare)
    low_pass = low_pass.to(images.dtype)
    wider = doubling_matrix(low_pass, width, left, right)
    higher = doubling_matrix(low_pass, height, top, bottom)
    fine = higher @ (images @ wider.mT)
    # A fine pixel lies a quarter of a coarse one beside the middle; a normalised side runs from -1 to 1.
    sides = torch.tensor([left + width + right, top + height + bottom], dtype=torch.float32)
    moved = torch.tensor([left - right - 0.5, top - bottom - 0.5])
    rows = torch.cat([transform[:, :2, :2], 2 * transform[:, :2, 2:] + moved[:, None]], 2) / sides[:, None]
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
    places = corners @ transform[:, :2, :2].mT + transform[:, None, :2, 2]
    reach = torch.stack([-places, places]).amax((1, 2)) + spare - centre
    return reach.clamp(min=0).minimum(side - 1).ceil().int().flatten().tolist()


def _grid(rows: Tensor, width: int, height: int) -> Tensor:
    """Where (B, 2 height, 2 width, 2) the fine pixels of a result lie, by the matrices (B, 2, 3)."""
    across = torch.arange(1 - width, 1 + width, device=rows.device, dtype=rows.dtype)
    down = torch.arange(1 - height, 1 + height, device=rows.device, dtype=rows.dtype)
    from_x = across[:, None] * rows[:, None, :, 0]
    from_y = down[:, None] * rows[:, None, :, 1] + rows[:, None, :, 2]
    return from_y[:, :, None] + from_x[:, None]
