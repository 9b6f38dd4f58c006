"""Pictures as tensors: float32 RGB, NCHW, [-1, 1]; to and from bytes and Pillow."""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]


def to_float(pixels: Tensor) -> Tensor:
    """Maps uint8 values 0..255 to float32 -1..1; shape and memory format stay."""
    return pixels.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Maps float values -1..1 to uint8 0..255, rounded and clamped; the inverse of ``to_float``."""
    if images.dtype == torch.uint8:
        return images
    return images.detach().float().nan_to_num(-1.0).add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_pil(image: Tensor) -> Image.Image:
    """Converts one picture, ``(3, H, W)`` or ``(1, 3, H, W)``, float in [-1, 1] or uint8, to Pillow."""
    if image.dim() == 4 and image.shape[0] == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"one picture (3, H, W) is needed, not {tuple(image.shape)}")
    return Image.fromarray(to_uint8(image).expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy())


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes (B, 3, S, S) to the given side, bilinear with antialiasing as for pictures from files."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
