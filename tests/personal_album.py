"""An album of sixty good and bad photos and the right verdict on each, made of pictures in the repository."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import skimage.data
from PIL import Image, ImageFilter, ImageOps

ROOT = Path(__file__).resolve().parent.parent
# A fictional person of their own, so that another demo person changes no verdict.
PERSON = ROOT / "tests" / "fixtures" / "album_person"
# Pictures that are no near-duplicates of each other.
GOOD = (
    "train/30_09",
    "train/33_12",
    "held_out/37_04",
    "train/38_17",
    "train/55_32",
    "train/56_33",
    "held_out/75_13",
)
ACCEPTED = "accepted"


class Album:
    """A folder that is filled picture by picture; ``expected`` holds the right verdicts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.expected: dict[str, str] = {}

    def add(self, name: str, picture: Image.Image | bytes, verdict: str, **options: object) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        elif path.suffix == ".heic":  # Pillow is to learn of the format when it reads
            pillow_heif.from_pillow(picture).save(path, quality=95)
        else:
            picture.save(path, **options)
        self.expected[name] = verdict


def person_picture(name: str) -> Image.Image:
    """A picture of the person, 128 x 128."""
    return Image.open(PERSON / f"{name}.png").convert("RGB")


def on_canvas(face: Image.Image, x: int, y: int, size: tuple[int, int] = (700, 520)) -> Image.Image:
    """A face as part of a larger, plain picture."""
    canvas = Image.new("RGB", size, (120, 130, 110))
    canvas.paste(face, (x, y))
    return canvas


def make_album(folder: Path) -> Album:
    """Makes the album; ages from 30 to 75."""
    album = Album(folder)
    pictures = {name: person_picture(name) for name in GOOD}
    ages = {name: name.split("/")[1].split("_")[0] for name in GOOD}
    astronaut = Image.fromarray(skimage.data.astronaut())
    _good(album, [pictures[name] for name in GOOD], [ages[name] for name in GOOD], astronaut)
    _copies(album, [pictures[name] for name in GOOD], [ages[name] for name in GOOD])
    for number, name in enumerate(GOOD):
        blurred = pictures[name].filter(ImageFilter.GaussianBlur(2 + number / 6))
        album.add(f"{ages[name]}_{60 + number}.jpg", blurred, "blurred", quality=90)
    for number, name in enumerate(GOOD[:4]):
        album.add(f"{ages[name]}_{70 + number}.jpg", pictures[name].resize((44, 44)), "small", quality=95)
    album.add("40_74.png", pictures[GOOD[0]].resize((9, 12)), "small")
    large = pictures[GOOD[4]].resize((256, 256), Image.Resampling.LANCZOS)
    album.add("40_75.jpg", on_canvas(large, -60, 90, (600, 500)), "cut off", quality=95)
    tiny = pictures[GOOD[5]].resize((56, 56), Image.Resampling.LANCZOS)
    album.add("40_76.png", on_canvas(tiny, 150, 120, (400, 300)), "small")
    _strangers(album, astronaut)
    _broken(album, pictures[GOOD[1]])
    return album


def _good(album: Album, pictures: list[Image.Image], ages: list[str], astronaut: Image.Image) -> None:
    """Every good picture in another guise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = pictures[3].copy()
    clear.putalpha(255)
    group = on_canvas(pictures[6].resize((220, 220), Image.Resampling.LANCZOS), 30, 200)
    group.paste(astronaut.crop((130, 20, 330, 260)), (430, 60))
    album.add(f"{ages[0]}_0.png", pictures[0], ACCEPTED)
    album.add(f"{ages[1]}_1.tif", pictures[1].convert("CMYK"), ACCEPTED)
    turned = pictures[2].rotate(90)
    album.add(f"sub/{ages[2]}_2.jpg", turned, ACCEPTED, quality=100, subsampling=0, exif=exif)
    album.add(f"{ages[3]}_3.png", clear, ACCEPTED)
    album.add(f"{ages[4]}_4.JPG", pictures[4], ACCEPTED, quality=100, subsampling=0)
    album.add(f"{ages[5]}_5.heic", pictures[5], ACCEPTED)
    album.add(f"{ages[6]}_6.png", group, ACCEPTED)


def _copies(album: Album, pictures: list[Image.Image], ages: list[str]) -> None:
    """Near-duplicates: encoded again, reduced, brightened, mirrored, cropped, turned, and one plain copy."""
    changes: list[Callable[[Image.Image], Image.Image]] = [
        lambda picture: picture,
        lambda picture: picture.resize((100, 100), Image.Resampling.LANCZOS),
        lambda picture: picture.point(lambda value: min(255, int(value * 1.15 + 5))),
        ImageOps.mirror,
        lambda picture: picture.crop((2, 2, 127, 126)),
        lambda picture: picture.rotate(3, Image.Resampling.BICUBIC),
    ]
    for number, change in enumerate(changes):
        for turn in range(2):
            index = (number + 3 * turn) % 5
            album.add(
                f"{ages[index]}_{10 + 2 * number + turn}.jpg",
                change(pictures[index]),
                "duplicate",
                quality=70,
            )
    shutil.copy(album.folder / f"{ages[0]}_0.png", album.folder / f"{ages[0]}_9.png")
    album.expected[f"{ages[0]}_9.png"] = "duplicate"


def _strangers(album: Album, astronaut: Image.Image) -> None:
    """Another person, no person, and the right one of unknown age."""
    for number in range(8):
        box = (110 + 4 * number, 10 + 2 * number, 340 - 3 * number, 270 + 5 * number)
        album.add(
            f"{40 + number}_{30 + number}.jpg", astronaut.crop(box), "other person", quality=90 - number
        )
    album.add("48_38.jpg", astronaut, "other person", quality=90)
    album.add("49_39.png", on_canvas(astronaut.crop((100, 0, 356, 256)), 200, 120), "other person")
    album.add("50_40.jpg", astronaut.crop((250, 380, 400, 512)), "no face")
    noise = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
    album.add("51_41.png", Image.fromarray(noise), "no face")
    album.add("52_42.bmp", Image.new("RGB", (200, 150), "navy"), "no face")
    album.add("holiday.png", person_picture("train/35_14"), "no age")
    album.add("IMG_2041.png", person_picture("train/44_22"), "no age")


def _broken(album: Album, picture: Image.Image) -> None:
    """Files that cannot be read."""
    for number, (suffix, share) in enumerate(
        (("jpg", 0.6), ("jpg", 0.2), ("png", 0.5), ("webp", 0.5), ("tif", 0.5))
    ):
        whole = album.folder / f"whole.{suffix}"
        picture.save(whole)
        content = whole.read_bytes()
        whole.unlink()
        album.add(f"33_{80 + number}.{suffix}", content[: int(share * len(content))], "unreadable")
    album.add("33_85.jpg", b"a shopping list, not a picture\n", "unreadable")
    album.add("33_86.png", b"", "unreadable")
    album.add("33_87.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "unreadable")
    album.add("33_88.heic", b"\0\0\0\x18ftypheic" + bytes(40), "unreadable")
    album.add("33_89.jpg", b"\0\0\0\x18ftypmif1" + bytes(40), "unreadable")
    album.add("33_90.dng", b"II*\0" + bytes(40), "unsupported")
