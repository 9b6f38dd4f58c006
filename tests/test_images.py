"""Picture files of every awkward sort become [-1, 1] tensors and back; bad ones give one sentence."""

import os
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image

from utils.errors import InputError
from utils.pictures.listing import list_images
from utils.pictures.opening import MissingReaderError
from utils.pictures.originals import read_original
from utils.pictures.reading import (
    capture_date,
    read_image,
    read_image_uint8,
)
from utils.pictures.sheets import image_sheet
from utils.pictures.tensors import to_float, to_pil, to_uint8
from utils.pictures.writing import write_image


def picture(width: int = 24, height: int = 16) -> Image.Image:
    """A smooth picture whose corners differ: red grows to the right, green downwards."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, 255 - red], 2).astype(np.uint8))


def test_read_is_float_rgb_in_minus_one_to_one(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (3, 16, 24) and image.dtype == torch.float32
    assert image.min() == -1 and image.max() == 1
    assert image[0, 0, -1] == 1 and image[1, 0, 0] == -1
    assert read_image(tmp_path / "a.png", 8).shape == (3, 8, 8)
    pixels = read_image_uint8(tmp_path / "a.png")
    assert pixels.dtype == torch.uint8 and pixels.is_contiguous()
    assert torch.equal(to_float(pixels), image)


def test_resize_is_the_official_antialiased_bilinear(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(random).save(tmp_path / "a.png")
    expected = np.array(Image.fromarray(random).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(read_image_uint8(tmp_path / "a.png", 16).permute(1, 2, 0).numpy(), expected)


def test_all_values_survive_the_round_trip(tmp_path: Path) -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    assert torch.equal(to_uint8(to_float(values)), values)
    write_image(to_float(values), tmp_path / "a.png")
    assert torch.equal(read_image_uint8(tmp_path / "a.png"), values)
    assert to_uint8(torch.tensor([-9.0, 9.0, float("nan")])).tolist() == [0, 255, 0]


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "YCbCr"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    picture().convert(mode).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == (3, 16, 24)
    if mode in ("L", "LA"):
        assert torch.equal(image[0], image[2])
    if mode == "CMYK":
        assert (image - read_image_from(picture())).abs().mean() < 0.1


def read_image_from(image: Image.Image) -> torch.Tensor:
    """The tensor of a Pillow picture."""
    return to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 1).all()
    Image.new("RGBA", (4, 4), (255, 0, 0, 255)).save(tmp_path / "solid.png")
    assert read_image(tmp_path / "solid.png")[:, 0, 0].tolist() == [1, -1, -1]


def test_16_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image_uint8(tmp_path / "a.png")[0].tolist() == [[0, 100, 255]]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    picture().save(tmp_path / "a.png", exif=exif)
    expected = read_image_from(picture().rotate(-90, expand=True))
    assert torch.equal(read_image(tmp_path / "a.png"), expected)


def test_heic_photos_are_read_upright_with_their_date(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2021:03:04 05:06:07"
    photo = pillow_heif.from_pillow(picture(96, 64))
    photo.info["exif"] = exif.tobytes()
    photo.save(tmp_path / "a.HEIC", quality=95)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.HEIC").read_bytes())  # a phone's file, renamed
    upright = read_image_from(picture(96, 64).rotate(-90, expand=True))
    for path in list_images(tmp_path):
        found = read_image(path)
        assert found.shape == upright.shape and (found - upright).abs().mean() < 0.05
        assert capture_date(path) == date(2021, 3, 4)
        kept = Image.Exif()
        kept.load(read_original(path).exif)
        assert kept.get(0x0112, 1) == 1
    half = (tmp_path / "a.HEIC").read_bytes()
    (tmp_path / "half.heic").write_bytes(half[: len(half) // 2])
    with pytest.raises(InputError, match="half.heic.*damaged"):
        read_image(tmp_path / "half.heic")


def test_heic_without_its_reader_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif.from_pillow(picture(96, 64)).save(tmp_path / "a.heic")
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])  # as if never registered
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingReaderError, match="a.heic.*pip install pillow-heif"):
        read_image(tmp_path / "a.heic")


def test_truncated_and_foreign_files_give_one_sentence(tmp_path: Path) -> None:
    picture(200, 200).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name in ("half.jpg", "text.png", "empty.png", "missing.png"):
        with pytest.raises(InputError, match=name) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value) and str(caught.value).count(name) == 1


def test_list_is_recursive_sorted_and_any_case(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "._a.jpg", "sub/c.tiff", "sub/a.WebP"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)]
    assert names == ["a.jpg", "b.PNG", os.path.join("sub", "a.WebP"), os.path.join("sub", "c.tiff")]


def test_missing_and_empty_folder_and_single_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "none")
    with pytest.raises(InputError, match="no pictures in"):
        list_images(tmp_path)
    (tmp_path / "a.jpg").touch()
    assert list_images(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]  # a single picture is a place too


def test_write_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = read_image_from(picture())
    write_image(image, tmp_path / "new" / "a.jpg")
    before = (tmp_path / "new" / "a.jpg").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=r"cannot write .*a\.jpg: disk full"):
        write_image(-image, tmp_path / "new" / "a.jpg")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.jpg"]
    assert (tmp_path / "new" / "a.jpg").read_bytes() == before
    with pytest.raises(InputError, match="unknown picture format"):
        write_image(image, tmp_path / "a.xyz")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_image(image, tmp_path / "file" / "a.png")


def test_sheet_has_labels_gaps_and_one_cell_size() -> None:
    row = torch.zeros(3, 3, 32, 32)
    plain = image_sheet([row, [row[0], None]], gap=2)
    assert plain.size == (3 * 32 + 2 * 2, 2 * 32 + 2)
    assert plain.getpixel((10, 10)) == (128, 128, 128) and plain.getpixel((50, 50)) == (255, 255, 255)
    labelled = image_sheet([row, row[:, :, ::2, ::2]], ["input", "global"], ["10", "20", "30"])
    assert labelled.width > plain.width and labelled.height > plain.height
    assert labelled.getpixel((labelled.width - 3, labelled.height - 3)) == (128, 128, 128)
    with pytest.raises(ValueError, match="at least one"):
        image_sheet([[None]])


def test_to_pil_takes_one_picture() -> None:
    assert to_pil(torch.zeros(1, 3, 4, 6)).size == (6, 4)
    assert to_pil(torch.zeros(1, 4, 6)).mode == "RGB"
    with pytest.raises(ValueError, match="one picture"):
        to_pil(torch.zeros(2, 3, 4, 6))
