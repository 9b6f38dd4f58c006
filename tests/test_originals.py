"""A photo with other faces, as its file was: formats, modes, depths, profiles and rotations, all of them."""

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import ADOBE_RGB, DISPLAY_P3, matrix_profile, picture
from PIL import Image, ImageCms, features

from utils.errors import InputError
from utils.faces.paste import FacePhoto, paste_squares
from utils.pictures.originals import Original, read_original
from utils.pictures.reading import read_pixels
from utils.pictures.writing import LARGEST_SIDE, save_original, save_pil

WIDE = {"p3": matrix_profile(DISPLAY_P3), "adobe": matrix_profile(ADOBE_RGB, 2.19921875)}
SIZE = (160, 120)
SQUARE = np.array([[32, 32], [32, 79], [79, 79], [79, 32]], float)  # whole blocks of every encoder
AROUND = np.ones(SIZE[::-1], bool)
AROUND[16:96, 16:96] = False
FACE = np.full((64, 64, 3), (210, 120, 40), np.uint8)
LOSSY = {"jpg": 6, "jfif": 6, "avif": 10}  # levels of 255 by which a lossy file may move a smooth picture
SUFFIXES = ("jpg", "jfif", "png", "webp", "tif", "bmp", "ppm", *(["avif"] if features.check("avif") else []))
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "RGB16", "RGBA16")
RAMP = Image.fromarray(np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))


def photo(mode: str) -> Image.Image | np.ndarray:
    """A smooth picture in a mode of Pillow, or with 16 bits a channel."""
    smooth = picture().resize(SIZE, Image.Resampling.BICUBIC)
    if mode.endswith("16"):
        values = np.asarray(smooth).astype(np.uint16) * 256 + np.arange(SIZE[0], dtype=np.uint16)[:, None]
        opacity = np.asarray(RAMP).astype(np.uint16)[..., None] * 257
        return values if mode == "RGB16" else values if mode == "I;16" else np.dstack([values, opacity])
    if mode in ("LA", "RGBA"):
        smooth = smooth.convert(mode[:-1])
        smooth.putalpha(RAMP)
        return smooth
    return smooth.convert(mode)


def in_profile(profile: bytes) -> Image.Image:
    """The smooth picture in the numbers of another colour space."""
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    smooth = picture().resize(SIZE, Image.Resampling.BICUBIC)
    return ImageCms.profileToProfile(smooth, ImageCms.createProfile("sRGB"), own, outputMode="RGB")


def write_photo(path: Path, mode: str) -> bool:
    """Writes a photo; whether the format has the mode."""
    image = photo("RGB16" if mode == "I;16" else mode)
    try:
        if mode == "I;16":
            if path.suffix in (".jpg", ".jfif", ".webp", ".avif", ".bmp"):
                return False
            assert isinstance(image, np.ndarray)
            Image.fromarray(np.ascontiguousarray(image[..., 1])).save(path)
        elif isinstance(image, np.ndarray):
            order = [2, 1, 0, 3][: image.shape[2]]
            return path.suffix in (".png", ".tif") and cv2.imwrite(str(path), image[..., order])
        else:
            image.save(path, **({"lossless": True} if path.suffix == ".webp" else {"quality": 92}))
    except (OSError, KeyError):
        return False
    return True


def with_face(source: Path, target: Path, face: np.ndarray = FACE) -> tuple[Original, Original]:
    """A photo and its copy with another face, both read again."""
    original = read_original(source)
    changed = FacePhoto(read_pixels(source), [SQUARE], original).original_with([face])
    save_original(changed, original, target)
    return original, read_original(target)


CASES = list(itertools.product(SUFFIXES, MODES))


@pytest.mark.parametrize(("suffix", "mode"), CASES)
def test_outside_the_face_a_photo_stays_what_it_was(tmp_path: Path, suffix: str, mode: str) -> None:
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    if not write_photo(source, mode):
        pytest.skip("the format has no such mode")
    before, after = with_face(source, target)
    assert before.values.dtype == after.values.dtype
    if not (suffix == "avif" and before.mode == "L"):  # is read as RGB
        assert (before.mode, before.values.shape) == (after.mode, after.values.shape)
        change = np.abs(before.values.astype(int) - after.values)[AROUND].max()
        assert change <= LOSSY.get(suffix, 0)
    if mode.endswith("16"):
        assert before.values.dtype == np.uint16 and (before.values % 257).any()
    middle = read_pixels(target)[50:60, 50:60].astype(int)
    if mode in ("1", "L", "I;16"):
        assert np.ptp(middle, axis=2).max() <= 1, "a grey photo has a grey face"
    elif before.opacity is None:
        assert np.abs(middle - FACE[0, 0]).max() < 12


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_a_wide_gamut_photo_keeps_its_colours_and_its_profile(tmp_path: Path, name: str, suffix: str) -> None:
    wide = in_profile(WIDE[name])
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    wide.save(source, icc_profile=WIDE[name], **({"lossless": True} if suffix == "webp" else {"quality": 97}))
    before, after = with_face(source, target)
    assert before.profile == after.profile == WIDE[name]
    limit = 4 if suffix == "jpg" else 0
    assert np.abs(before.values.astype(int) - after.values)[AROUND].max() <= limit
    assert np.abs(read_pixels(target)[50:60, 50:60].astype(int) - FACE[0, 0]).max() < 8, "the colour in sRGB"
    assert np.abs(after.values[55, 55].astype(int) - FACE[0, 0]).max() > 8, "other numbers in the file"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_rotation_is_applied_once(tmp_path: Path, suffix: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = turn, "Camera works"
    values = np.asarray(photo("RGB"))
    if suffix == "png":  # with 16 bits
        values = values.astype(np.uint16) * 257
        original = Original(values, "RGB", exif=exif.tobytes())
        save_original(values, original, tmp_path / "a.png")
    else:
        Image.fromarray(values).save(tmp_path / f"a.{suffix}", exif=exif, quality=100)
    upright = read_pixels(tmp_path / f"a.{suffix}")
    before = read_original(tmp_path / f"a.{suffix}")
    assert before.values.shape == upright.shape and before.values.dtype == values.dtype
    same = np.abs(before.values.astype(int) // (257 if suffix == "png" else 1) - upright)
    assert same.max() <= 1
    save_original(before.values, before, tmp_path / f"b.{suffix}")
    with Image.open(tmp_path / f"b.{suffix}") as result:
        assert result.getexif().get(0x0112, 1) == 1 and result.getexif()[0x010F] == "Camera works"
    assert np.abs(read_pixels(tmp_path / f"b.{suffix}").astype(int) - upright).max() <= 8


def test_a_jpeg_is_encoded_as_it_was(tmp_path: Path) -> None:
    for quality, subsampling in ((60, 2), (85, 1), (98, 0)):
        photo("RGB").save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
        with_face(tmp_path / "a.jpg", tmp_path / "b.jpg")
        with Image.open(tmp_path / "a.jpg") as a, Image.open(tmp_path / "b.jpg") as b:
            assert a.quantization == b.quantization and a.layer == b.layer


def test_what_a_format_does_not_take_is_converted(tmp_path: Path) -> None:
    """For instance single pictures of life spans, which are JPEG whatever the photo was."""
    for mode in (mode for mode in MODES if mode not in ("1", "P")):  # whose dots no lossy format takes
        source = tmp_path / "a.tif" if mode in ("CMYK", "LA") else tmp_path / "a.png"
        if not write_photo(source, mode):
            continue
        for suffix in SUFFIXES:
            save_original(read_original(source).values, read_original(source), tmp_path / f"b.{suffix}")
            difference = read_pixels(tmp_path / f"b.{suffix}").astype(int) - read_pixels(source)
            assert np.abs(difference).mean() < 4, (mode, suffix)


def test_overlapping_faces_share_their_border() -> None:
    """Each face's own middle shows it alone, whatever the order."""
    photo = np.full((100, 200, 3), 100, np.uint8)
    squares = [SQUARE - [22, 12], SQUARE + [8, -12], SQUARE + [38, -12]]
    faces = [np.full((32, 32, 3), value, np.uint8) for value in (0, 128, 255)]
    there = paste_squares(photo, squares, faces)
    back = paste_squares(photo, squares[::-1], faces[::-1])
    assert np.abs(there.astype(int) - back).max() <= 2
    for square, face in zip(squares, faces, strict=True):
        x, y = square.mean(0).round().astype(int)
        assert np.abs(there[y, x].astype(int) - face[0, 0]).max() <= 2


def test_transparent_parts_of_a_photo_stay(tmp_path: Path) -> None:
    image = photo("RGBA")
    assert isinstance(image, Image.Image)
    image.putalpha(
        Image.fromarray(np.where(np.arange(SIZE[0]) < 56, 0, 255).astype(np.uint8)[None].repeat(120, 0))
    )
    image.save(tmp_path / "a.png")
    before, after = with_face(tmp_path / "a.png", tmp_path / "b.png")
    assert np.array_equal(before.values[:, :56], after.values[:, :56])
    assert (before.values[50, 60] != after.values[50, 60]).any()


# ---------------------------------------------------------------- limits of formats


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("webp", "WEBP")])
def test_a_picture_beyond_its_format_is_reduced(
    tmp_path: Path, suffix: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = LARGEST_SIDE[kind]
    save_pil(Image.new("RGB", (limit + 500, 8), "red"), tmp_path / f"a.{suffix}")
    assert Image.open(tmp_path / f"a.{suffix}").size == (limit, 8)
    assert f"reduced to {limit} pixels, the most that {kind} files hold" in capsys.readouterr().err
    save_pil(Image.new("RGB", (limit, 8)), tmp_path / f"b.{suffix}")
    assert not capsys.readouterr().err


def test_what_an_encoder_refuses_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write .*a.jpg"):
        save_pil(Image.new("RGBA", (8, 8)), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_profiles_of_cmyk_are_kept(tmp_path: Path) -> None:
    image = photo("CMYK")
    assert isinstance(image, Image.Image)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # not for CMYK: counts as none
    image.save(tmp_path / "a.tif", icc_profile=lab)
    before, after = with_face(tmp_path / "a.tif", tmp_path / "b.tif")
    assert after.profile == lab and np.array_equal(before.values[AROUND], after.values[AROUND])
