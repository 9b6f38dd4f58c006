"""Writes a page as one HTML file that needs no network: its pictures, style and script are inside."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from utils.files.writing import write_text
from utils.pages.blocks import Page
from utils.pages.charts import HEIGHT, WIDTH, drawn

FOLDER = Path(__file__).parent


def write_page(page: Page, path: str | Path) -> Path:
    """Writes a page; whatever stands in it is shown as the text it is.

    Raises:
        InputError: the file cannot be written.
    """
    return write_text(html_of(page), path)


def html_of(page: Page) -> str:
    """The text of the file of a page."""
    script = _text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text: str = _template().render(
        page=page, style=_text("page.css"), script=script, digest=digest, size=(WIDTH, HEIGHT)
    )
    return text.lstrip()


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.globals["drawn"] = drawn
    return environment.get_template("page.html")
