"""Damaged and odd picture files: a picture or one sentence that names it; no wait, no noise, no harm."""

import os
import random
import struct
import sys
import threading
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from picture_files import encoded, exif_block, picture, sound_files
from PIL import Image

from datasets.faces import FaceFolder
from datasets.personal import measures
from utils.errors import InputError
from utils.pictures.opening import LARGEST, with_picture
from utils.pictures.originals import read_original
from utils.pictures.reading import capture_date, open_rgb, read_pixels

FILES = sound_files()


def outcome(path: Path) -> str:
    """Reads a file in every way; "read", or "refused" with a good sentence each time."""
    outcomes = set()
    for read in (open_rgb, read_original, read_pixels):
        try:
            read(path)
            outcomes.add("read")
        except InputError as error:
            text = str(error)
            assert text.count(str(path)) == 1 and "\n" not in text and len(text) < len(str(path)) + 220, text
            outcomes.add("refused")
    capture_date(path)
    assert len(outcomes) == 1
    return outcomes.pop()


@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_picture_or_a_sentence(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try_damage(name, tmp_path / name, 16)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_much_damage(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try_damage(name, tmp_path / name, 250)
    assert capfd.readouterr() == ("", "")


def try_damage(name: str, path: Path, count: int) -> None:
    """Damages a sound file in many ways; pixels must not be taken where a checksum speaks against them."""
    path.write_bytes(FILES[name])
    sound = np.asarray(open_rgb(path))
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for what, data in damaged(FILES[name], count, seed=len(name)):
            path.write_bytes(data)
            kind = outcome(path)
            outcomes[kind] += 1
            if kind == "read" and name.endswith("png"):
                assert np.array_equal(open_rgb(path), sound), what
    assert outcomes["refused"], outcomes


@pytest.mark.parametrize("name", FILES)
def test_any_name_will_do(name: str, tmp_path: Path) -> None:
    expected = picture()
    for other in (
        "x.jpg",
        "x.PNG",
        "x.heic",
        "x.avif",
        "noending",
        "x.txt",
        "two\nlines.jpg",
        "\udce9t\udce9.jpg",
    ):
        (tmp_path / other).write_bytes(FILES[name])
        found = open_rgb(tmp_path / other)
        assert found.size == expected.size and found.mode == "RGB"
        assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 20  # the first frame


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """A part of a PNG file."""
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


BOMB = zlib.compress(bytes(30_000_000), 9)
ODD_CHUNKS = {
    "two megabytes of text": chunk(b"tEXt", b"k\0" + b"x" * 2_000_000),
    "eighty small texts of a megabyte": chunk(b"tEXt", b"k\0" + b"x" * 1_000_000) * 80,
    "text bomb": chunk(b"zTXt", b"k\0\0" + BOMB),
    "international bomb": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "EXIF bomb": chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
    "unknown compression": chunk(b"zTXt", b"k\0\7abc"),
    "profile of unknown compression": chunk(b"iCCP", b"k\0\7abc"),
    "profile without end": chunk(b"iCCP", b"k"),
    "profile bomb": chunk(b"iCCP", b"k\0\0" + BOMB),
    "short gamma": chunk(b"gAMA", b"\1"),
    "short chromaticity": chunk(b"cHRM", b"\1"),
    "short size": chunk(b"pHYs", b"\1"),
    "empty sRGB": chunk(b"sRGB", b""),
    "short animation": chunk(b"acTL", b"\1"),
    "frame without animation": chunk(b"fcTL", bytes(26)),
    "a text called transparency": chunk(b"tEXt", b"transparency\0abc"),
    "a text called icc_profile": chunk(b"tEXt", b"icc_profile\0abc"),
    "a text called exif": chunk(b"tEXt", b"exif\0abc"),
    "bad EXIF": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "wrong checksum": chunk(b"tEXt", b"k\0v", 1),
    "private part": chunk(b"prVt", b"abc"),
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_odd_extras_of_a_png_do_not_hide_its_picture(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = encoded(picture(), "PNG")
    path, end = tmp_path / "a.png", len(sound) - 12
    for place in (33, end):  # before the pixels and after them
        path.write_bytes(sound[:place] + ODD_CHUNKS[name] + sound[place:])
        assert np.array_equal(open_rgb(path), picture()) and outcome(path) == "read"
    assert capfd.readouterr() == ("", "")


def test_damaged_extras_of_a_jpeg_do_not_hide_its_picture(tmp_path: Path) -> None:
    sound = encoded(picture(), "JPEG", exif=exif_block().tobytes())
    extras = [
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"),
        (0xED, b"Photoshop 3.0\x008BIM" + struct.pack(">HBBI", 0x03ED, 0, 0, 16) + bytes(16)),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\x03\0" + bytes(40)),
        (0xEC, b"Ducky" + bytes(9)),
        (0xFE, b"a comment"),
    ]
    draws, path = random.Random(0), tmp_path / "a.jpg"
    path.write_bytes(sound)
    pixels = np.asarray(open_rgb(path))
    for _ in range(150):
        segments = b""
        for marker, content in extras:
            start = draws.randrange(len(content))
            harm = draws.choice((b"", draws.randbytes(8), bytes(8), b"\xff" * 8))
            content = content[:start] + harm + content[start + len(harm) :]
            segments += bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
        path.write_bytes(sound[:2] + segments + sound[2:])
        assert np.array_equal(open_rgb(path), pixels) and outcome(path) == "read"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").touch()
    for name in ("pipe", "folder", "loop", "broken", "zeros", "empty", "missing", "x" * 300):
        assert outcome(tmp_path / f"{name}.jpg") == "refused"


def test_a_folder_of_faces_does_not_wait_for_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        picture().save(tmp_path / f"{number}_0.png")
    os.mkfifo(tmp_path / "30_0.jpg")
    (tmp_path / "31_0.jpg").symlink_to("/dev/zero")
    done: list[int] = []
    for cache in (True, False):
        thread = threading.Thread(
            target=lambda c=cache: done.append(len(FaceFolder(tmp_path, 16, cache=c))), daemon=True
        )
        thread.start()
        thread.join(20)
    assert len(done) == 2
    assert "30_0.jpg" in capsys.readouterr().err


def test_huge_pictures_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    side = 30_000
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(
        encoded(picture(), "PNG")[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", BOMB)
    )
    (tmp_path / "bomb.ppm").write_bytes(b"P6 30000 30000 255\n")
    (tmp_path / "bomb.gif").write_bytes(
        b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + FILES["animated.gif"][10:]
    )
    for name in ("bomb.png", "bomb.ppm", "bomb.gif"):
        with pytest.raises(InputError, match=rf"{name}: \d+ x \d+ pixels are more than {LARGEST} megapixels"):
            open_rgb(tmp_path / name)


def test_a_jpeg_of_endless_passes_is_refused_at_once(tmp_path: Path) -> None:
    sound = encoded(Image.new("L", (4096, 4096), 128), "JPEG", progressive=True)
    last = sound.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(sound[:last] + sound[last:-2] * 3000 + sound[-2:])
    with pytest.raises(InputError, match=r"a\.jpg: it would take minutes to decode"):
        open_rgb(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(sound)
    assert open_rgb(tmp_path / "a.jpg").getpixel((9, 9)) == (128, 128, 128)


def test_large_phone_photos_are_read_in_a_reduced_size(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    large = picture().resize((12_240, 8_160))  # half of what the largest phones write
    large.save(tmp_path / "a.jpg", quality=30)
    del large
    read: list[tuple[int, int]] = []
    with_picture(tmp_path / "a.jpg", lambda image: read.append(image.size), at_least=64)
    assert read == [(1530, 1020)]
    small = read_pixels(tmp_path / "a.jpg", 64)
    assert np.abs(small.astype(int) - np.asarray(picture().resize((64, 64)))).max() < 12
    assert capfd.readouterr() == ("", "")


def test_modes_keep_their_values(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = Image.fromarray(ramp)
    alpha = Image.merge("LA", (grey, Image.new("L", (16, 16), 255)))
    palette = grey.convert("P")
    cases = {
        "16.png": Image.fromarray(ramp.astype(np.uint16) * 257),
        "16.tif": Image.fromarray(ramp.astype(np.uint16) * 257),
        "32.tif": Image.fromarray(ramp.astype(np.int32) * 257),
        "la.png": alpha,
        "p.png": palette,
        "p.gif": palette,
        "l.webp": grey.convert("RGB"),
        "a.pgm": grey,
    }
    for name, image in cases.items():
        image.save(tmp_path / name, **({"lossless": True} if name == "l.webp" else {}))
        assert np.array_equal(read_pixels(tmp_path / name), np.repeat(ramp[..., None], 3, 2)), name
    one = grey.point(lambda value: 255 * (value > 99), "1")
    one.save(tmp_path / "1.png")
    assert np.array_equal(read_pixels(tmp_path / "1.png")[..., 0], np.where(ramp > 99, 255, 0))
    for name, image in (
        ("f.tif", Image.fromarray(ramp.astype(np.float32))),
        ("i.tif", Image.fromarray(ramp.astype(np.int32) * 2**20)),
    ):
        image.save(tmp_path / name)
        with pytest.raises(InputError, match=rf"{name}: .* save it with 8 or 16 bits$"):
            open_rgb(tmp_path / name)


def test_an_album_of_damaged_photos_is_measured_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "_find_faces", lambda pixels: [])
    album, problems = tmp_path / "album", Counter[bool]()
    album.mkdir()
    os.mkfifo(album / "pipe.jpg")
    (album / "loop.jpg").symlink_to("loop.jpg")
    (album / "zeros.jpg").symlink_to("/dev/zero")
    (album / "broken.dng").write_bytes(b"II*")
    for seed, (name, sound) in enumerate(FILES.items()):
        for number, (_, data) in enumerate(damaged(sound, 4, seed)):
            (album / f"{number}{name}").write_bytes(data)
    for path in sorted(album.iterdir()):
        photo = measures.measure_photo(path, album, tmp_path / "cache")
        assert bool(photo.problem) != bool(photo.width) and "\n" not in photo.problem
        assert str(path) not in photo.problem and len(photo.problem) < 150, photo.problem
        problems[bool(photo.problem)] += 1
    assert min(problems.values()) > 10


def test_decoders_may_raise_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.bmp").write_bytes(FILES["a.bmp"])
    for error in (
        KeyError("k"),
        zlib.error("z"),
        RecursionError(),
        AssertionError(),
        ZeroDivisionError("a\nb"),
        MemoryError(),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(sys.modules["PIL.BmpImagePlugin"].BmpImageFile, "load", fail, raising=False)
        assert outcome(tmp_path / "a.bmp") == "refused"
