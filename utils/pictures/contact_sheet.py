"""A sheet of small pictures with captions, in titled sections."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from utils.pictures.lettering import Font, lettered
from utils.pictures.sheets import fit

_GAP, _FRAME = 8, 3


@dataclass(frozen=True)
class Cell:
    """A picture with lines of text below it; ``colour`` is that of its frame."""

    picture: Image.Image | None
    lines: Sequence[str]
    colour: str = "grey"


def contact_sheet(
    sections: Sequence[tuple[str, Sequence[Cell]]], columns: int = 8, side: int = 160, text_size: int = 11
) -> Image.Image:
    """Draws sections of cells; pictures are fitted into a square of ``side`` pixels, long lines wrapped."""
    bold = ImageFont.load_default(text_size + 6)
    line_height, title_height = text_size + 3, text_size + 18
    wrapped = [
        [[part for line in cell.lines for part in _wrap(line, text_size, side)] for cell in cells]
        for _, cells in sections
    ]
    rows = [
        [max(len(text) for text in texts[start : start + columns]) for start in range(0, len(texts), columns)]
        for texts in wrapped
    ]
    width = columns * (side + _GAP) + _GAP
    height = sum(title_height + sum(side + _GAP + n * line_height for n in counts) for counts in rows) + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = 0
    for (title, cells), texts, counts in zip(sections, wrapped, rows, strict=True):
        draw.text((_GAP, y + _GAP), title, "black", bold)
        y += title_height
        for row, lines in enumerate(counts):
            for column in range(min(columns, len(cells) - row * columns)):
                number = row * columns + column
                x = _GAP + column * (side + _GAP)
                _draw_cell(sheet, draw, cells[number], x, y, side)
                for index, (text, font) in enumerate(texts[number]):
                    draw.text((x, y + side + 1 + index * line_height), text, "black", font)
            y += side + _GAP + lines * line_height
    return sheet


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, x: int, y: int, side: int) -> None:
    draw.rectangle((x, y, x + side - 1, y + side - 1), "lightgrey", cell.colour, _FRAME)
    if cell.picture is None:
        return
    picture = fit(cell.picture, side - 2 * _FRAME, enlarge=True)
    sheet.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))


def _wrap(text: str, size: int, width: int) -> list[tuple[str, Font]]:
    """Breaks a line at spaces, and within words wider than the line; each part comes with its font."""
    text, font = lettered(text, size)
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if font.getlength(candidate) <= width:
            lines[-1] = candidate
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [(line, font) for line in lines]
