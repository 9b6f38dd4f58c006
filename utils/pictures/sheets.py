"""Many pictures on one: strips, grids with labels, contact sheets."""

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from utils.pictures.tensors import to_pil


def tile(rows: Sequence[Sequence[Image.Image]], gap: int = 0) -> Image.Image:
    """Lays pictures of one size out in rows on black, with a gap of some pixels between and around them."""
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, len(rows) * (height + gap) + gap))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (gap + x * (width + gap), gap + y * (height + gap)))
    return sheet


def fit(image: Image.Image, side: int, enlarge: bool = False) -> Image.Image:
    """Reduces a picture so that its longer side has at most ``side`` pixels, or enlarges it to just that."""
    scale = side / max(image.size)
    if scale >= 1 and not enlarge:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def image_sheet(
    rows: Sequence[Iterable[Tensor | None]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    gap: int = 2,
) -> Image.Image:
    """Lays pictures out in a grid.

    Args:
        rows: pictures ``(3, H, W)`` in [-1, 1] row by row (a batch tensor is a row); None leaves a cell
            white. Smaller pictures are enlarged to the largest; rows may differ in length.
        row_labels: text left of each row.
        column_labels: text above each column.
        gap: pixels between the pictures.
    """
    cells = [[None if image is None else to_pil(image) for image in row] for row in rows]
    pictures = [picture for row in cells for picture in row if picture is not None]
    if not pictures:
        raise ValueError("a sheet needs at least one picture")
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    font = ImageFont.load_default(size=max(10, round(height / 9)))
    line = int(font.getbbox("Ag")[3]) + 6
    left = 0 if not row_labels else max(int(font.getlength(label)) for label in row_labels) + 8
    top = 0 if not column_labels else line
    columns = max(len(row) for row in cells)
    size = (left + columns * (width + gap) - gap, top + len(cells) * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(column_labels or ()):
        draw.text((left + column * (width + gap) + width // 2, 2), label, "black", font, anchor="ma")
    for index, row in enumerate(cells):
        y = top + index * (height + gap)
        if row_labels and index < len(row_labels):
            draw.text((left - 6, y + height // 2), row_labels[index], "black", font, anchor="rm")
        for column, picture in enumerate(row):
            if picture is not None:
                if picture.size != (width, height):
                    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
                sheet.paste(picture, (left + column * (width + gap), y))
    return sheet
