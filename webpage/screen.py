"""Pictures for a screen: they stand in the page itself, and nothing of them is kept on the server."""

import base64
import html
import io

from PIL import Image

JPEG_QUALITY = 92


def as_jpeg(image: Image.Image) -> bytes:
    """A picture as a JPEG file."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def in_page(jpeg: bytes, alt: str) -> str:
    """HTML of a JPEG file."""
    source = base64.b64encode(jpeg).decode()
    return f'<img class="agelab" alt="{html.escape(alt)}" src="data:image/jpeg;base64,{source}">'
