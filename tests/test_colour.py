"""Colour profiles: pictures arrive in sRGB, what is sRGB stays bit for bit, a damaged profile is none."""

import io
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from picture_files import ADOBE_RGB, DISPLAY_P3, SRGB, encoded, grey_profile, matrix_profile, picture
from PIL import Image, ImageCms

from utils.pictures.colour import from_srgb, to_srgb
from utils.pictures.originals import read_original
from utils.pictures.reading import open_rgb

WIDE = {"p3": matrix_profile(DISPLAY_P3), "adobe": matrix_profile(ADOBE_RGB, 2.19921875)}


def difference(first: Image.Image, second: Image.Image) -> int:
    """The greatest difference of two pictures."""
    return int(np.abs(np.asarray(first).astype(int) - np.asarray(second).astype(int)).max())


def in_profile(profile: bytes) -> Image.Image:
    """The picture in the colours of a profile."""
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(picture(), srgb, own, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    assert result is not None
    return result


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_wide_gamut_files_are_read_as_srgb_and_kept_as_photos(tmp_path: Path, name: str, kind: str) -> None:
    profile = WIDE[name]
    wide = in_profile(profile)
    assert difference(wide, picture()) > 10
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    (tmp_path / "a").write_bytes(encoded(wide, kind, icc_profile=profile, **options))
    near = 12 if kind == "JPEG" else 3
    found = open_rgb(tmp_path / "a")
    assert difference(found, picture()) <= near and not found.info
    original = read_original(tmp_path / "a")
    own = Image.fromarray(original.values)
    assert difference(own, wide) <= near and original.profile == profile
    assert difference(to_srgb(own, original.profile), found) == 0


@pytest.mark.parametrize("name", WIDE)
def test_there_and_back(name: str) -> None:
    wide = in_profile(WIDE[name])
    assert difference(from_srgb(to_srgb(wide, WIDE[name]), WIDE[name]), wide) <= 3
    assert from_srgb(picture(), WIDE[name]).mode == "RGB"


@pytest.mark.parametrize("profile", [None, b"", SRGB, b"no profile", SRGB[:200], WIDE["p3"][:140]])
def test_srgb_and_no_profile_change_nothing(tmp_path: Path, profile: bytes | None) -> None:
    assert difference(to_srgb(picture(), profile), picture()) == 0
    assert from_srgb(picture(), profile) == picture()
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG", icc_profile=profile))
    assert difference(open_rgb(tmp_path / "a.png"), picture()) == 0


def test_grey_stays_grey(tmp_path: Path) -> None:
    grey = picture().convert("L")
    for profile, changes in ((grey_profile(1.0), True), (grey_profile(2.2), None), (WIDE["adobe"], None)):
        found = to_srgb(grey, profile)
        red, green, blue = (np.asarray(channel).astype(int) for channel in found.split())
        assert max(np.abs(red - green).max(), np.abs(blue - green).max()) <= 1
        assert changes is None or (difference(found, grey.convert("RGB")) > 20) is changes
        assert difference(found, to_srgb(grey.convert("RGB"), profile)) == 0
        back = from_srgb(found, profile)
        assert difference(back, grey.convert("RGB")) <= 2
    (tmp_path / "a.jpg").write_bytes(encoded(grey, "JPEG", quality=100, icc_profile=grey_profile(1.0)))
    original = read_original(tmp_path / "a.jpg")
    assert original.profile == grey_profile(1.0)
    assert difference(Image.fromarray(original.values).convert("RGB"), grey.convert("RGB")) < 8
    coloured = to_srgb(picture(), grey_profile(1.0))  # a profile of something else
    assert difference(coloured, picture()) == 0


def test_transparent_pixels_are_converted_before_they_lie_on_white(tmp_path: Path) -> None:
    wide = in_profile(WIDE["p3"])
    wide.putalpha(Image.new("L", wide.size, 128))
    (tmp_path / "a.png").write_bytes(encoded(wide, "PNG", icc_profile=WIDE["p3"]))
    expected = Image.blend(Image.new("RGB", wide.size, "white"), picture(), 128 / 255)
    assert difference(open_rgb(tmp_path / "a.png"), expected) <= 3


def test_lab_and_cmyk_become_srgb(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.applyTransform(picture(), ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    assert image is not None
    image.info = {}
    (tmp_path / "lab.tif").write_bytes(encoded(image, "TIFF"))
    assert difference(open_rgb(tmp_path / "lab.tif"), picture()) < 25
    (tmp_path / "cmyk.jpg").write_bytes(encoded(picture().convert("CMYK"), "JPEG", quality=100))
    assert difference(open_rgb(tmp_path / "cmyk.jpg"), picture()) < 12  # Adobe writes the inks inverted


def test_damaged_profiles_never_raise() -> None:
    for seed, profile in enumerate((*WIDE.values(), SRGB, grey_profile(1.8))):
        for what, data in damaged(profile, 60, seed):
            for image in (picture(), picture().convert("L"), picture().convert("CMYK")):
                assert to_srgb(image, data).mode == "RGB", what
            assert from_srgb(picture(), data).mode == "RGB", what
