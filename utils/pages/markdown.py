"""The Markdown that our reports are written in, as blocks of a page: tables, lists, paragraphs."""

import re
from collections.abc import Sequence

from utils.pages.blocks import Block, Heading, Notes, Table, Text

_RULE = re.compile(r"[|\s:-]*")


def markdown_blocks(text: str) -> list[Block]:
    """Blocks of a text whose paragraphs, tables and lists are separated by empty lines."""
    return [_block(part.split("\n")) for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]


def _block(lines: Sequence[str]) -> Block:
    if all(line.startswith("|") for line in lines):
        rows = [_cells(line) for line in lines if not _RULE.fullmatch(line)]
        return Table(rows[0] if rows else [], rows[1:])
    if all(line.startswith("- ") for line in lines):
        return Notes([line[2:] for line in lines])
    if lines[0].startswith("#"):
        return Heading(" ".join(lines).lstrip("# "))
    return Text(" ".join(lines).replace("`", ""))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
