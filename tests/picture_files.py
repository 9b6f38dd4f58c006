"""Sound picture files of every format and mode that is read, as bytes, and a wide-gamut colour profile."""

import io
import struct

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, PngImagePlugin, features

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DISPLAY_P3 = (0.5151, 0.2412, -0.0011, 0.292, 0.6922, 0.0419, 0.1571, 0.0666, 0.7841)
ADOBE_RGB = (0.6097, 0.3111, 0.0195, 0.2053, 0.6257, 0.0609, 0.1492, 0.0632, 0.7446)


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture with coloured corners."""
    across, down = np.meshgrid(np.linspace(40, 220, width), np.linspace(60, 200, height))
    return Image.fromarray(np.stack([across, down, 255 - across], 2).astype(np.uint8))


def exif_block(orientation: int = 1) -> Image.Exif:
    """EXIF with a maker, a day and a place."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound_files() -> dict[str, bytes]:
    """File name -> bytes, one of every format and of every structure that a decoder treats in its own way."""
    image, turned = picture(), picture().rotate(180)
    rgba, extras = image.convert("RGBA"), {"exif": exif_block().tobytes(), "icc_profile": SRGB}
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 50)
    text.add_itxt("c", "d", zip=True)
    text.add_text("e", "f" * 100, zip=True)
    files = {
        "a.jpg": encoded(image, "JPEG", **extras),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "a.png": encoded(image, "PNG", pnginfo=text, **extras),
        "palette.png": encoded(rgba.quantize(16), "PNG"),
        "animated.png": encoded(image, "PNG", save_all=True, append_images=[turned]),
        "a.webp": encoded(image, "WEBP", **extras),
        "lossless.webp": encoded(rgba, "WEBP", lossless=True),
        "animated.webp": encoded(image, "WEBP", save_all=True, append_images=[turned]),
        "animated.gif": encoded(image, "GIF", save_all=True, append_images=[turned]),
        "a.tif": encoded(image, "TIFF", exif=exif_block()),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "deflate.tif": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "a.bmp": encoded(image, "BMP"),
        "a.ppm": encoded(image, "PPM"),
        "a.mpo": encoded(image, "MPO", save_all=True, append_images=[turned], exif=exif_block().tobytes()),
        "a.heic": _heic(image),
    }
    if features.check("avif"):
        files["a.avif"] = encoded(image, "AVIF", **extras)
    return files


def _heic(image: Image.Image) -> bytes:
    file, heif = io.BytesIO(), pillow_heif.from_pillow(image)
    heif.info["exif"] = exif_block().tobytes()
    heif.save(file, quality=95)
    return file.getvalue()


def matrix_profile(primaries: tuple[float, ...], gamma: float = 2.2) -> bytes:
    """An ICC profile of a display with the given columns of red, green and blue (XYZ, D50)."""
    curve = b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256))
    colours = [_xyz(*primaries[start : start + 3]) for start in (0, 3, 6)]
    tags = [(name + b"XYZ", colour) for name, colour in zip((b"r", b"g", b"b"), colours, strict=True)]
    return _profile(b"RGB ", [*tags, *((name + b"TRC", curve) for name in (b"r", b"g", b"b"))])


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey pictures."""
    return _profile(b"GRAY", [(b"kTRC", b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256)))])


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    tags = [
        (b"desc", b"desc" + struct.pack(">4xI", 5) + b"test\0" + bytes(79)),
        (b"cprt", b"text\0\0\0\0none"),
        (b"wtpt", _xyz(0.9642, 1, 0.8249)),
        *tags,
    ]
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags:
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = bytearray(128)
    head[0:4] = struct.pack(">I", 128 + len(table + body))
    head[8:12], head[12:24], head[36:40] = b"\2\x20\0\0", b"mntr" + space + b"XYZ ", b"acsp"
    head[68:80] = _xyz(0.9642, 1, 0.8249)[8:]
    return bytes(head) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))
