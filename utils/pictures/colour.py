"""Colour profiles: pixels of a photo to sRGB, in which every network here computes, and back."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageCms

# The picture modes in which the values of a profile's colour space are written.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "LAB": "LAB"}
_SAME = 2  # levels of 255; profiles of sRGB itself differ by so much in the rounding of their curves
_CONTRAST = 128  # levels between the black and the white of a profile that describes pictures


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts a picture to 8-bit sRGB, relative colorimetric.

    Args:
        image: RGB, grey (L), CMYK or LAB.
        profile: its ICC profile. Grey pictures, as L or RGB, may have one for grey or for RGB. One that is
            damaged or made for other pictures counts as none.

    Returns:
        An RGB picture. Without a profile, and with one of sRGB, the values stay what they are.
    """
    profile = profile or b""
    space = space_of(profile)
    if (image.mode, space) == ("L", "RGB") or ((image.mode, space) == ("RGB", "L") and _is_grey(image)):
        image = image.convert(space)
    forward = _transform(profile, inverse=False) if space == image.mode else None
    if forward is None and image.mode == "LAB":
        forward = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
    if forward is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    converted = forward.apply(image)
    converted.info = {}
    return converted


def from_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts an sRGB picture to the colours of a profile; the inverse of :func:`to_srgb`.

    Args:
        image: RGB.
        profile: as in :func:`to_srgb`.

    Returns:
        RGB; the picture itself where :func:`to_srgb` changes nothing, and for profiles of CMYK, to which one
        sRGB picture has many inverses. A profile for grey gives equal channels.
    """
    backward = _transform(profile or b"", inverse=True)
    if backward is None:
        return image
    converted = backward.apply(image).convert("RGB")
    converted.info = {}
    return converted


def _is_grey(image: Image.Image) -> bool:
    return ImageChops.difference(image, image.convert("L").convert("RGB")).getbbox() is None


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=16)
def space_of(profile: bytes) -> str | None:
    """The mode of pictures that a profile is for; None where it cannot be read."""
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
    except Exception:  # whatever the library makes of a damaged profile
        return None
    return _MODES.get(space.strip().upper())


@lru_cache(maxsize=16)
def _transform(profile: bytes, inverse: bool) -> ImageCms.ImageCmsTransform | None:
    """The way from a profile to sRGB or back; None where there is nothing to convert or no sound profile."""
    mode = space_of(profile)
    if mode is None or (inverse and mode not in ("RGB", "L")):
        return None
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        forward = ImageCms.buildTransform(own, _srgb(), mode, "RGB", intent)
        if not _is_needed(forward, mode):
            return None
        return ImageCms.buildTransform(_srgb(), own, "RGB", mode, intent) if inverse else forward
    except Exception:
        return None


def _is_needed(forward: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a conversion to sRGB tells black from white and is not, but for rounding, the identity."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "RGB":
        sample = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3))
    elif mode == "L":
        sample = Image.fromarray(levels[None])
    else:
        return True
    before = np.asarray(sample.convert("RGB")).astype(int)
    after = np.asarray(forward.apply(sample)).astype(int)
    grey = (before == before[..., :1]).all(-1)
    contrast = np.ptp(after[grey].mean(-1))
    return bool(contrast > _CONTRAST and abs(after - before).max() > _SAME)
