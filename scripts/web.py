"""A page in the browser: a photo, a slider from 0 to 100, and personal models (extra `web`)."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from options.parser import parse_options
from options.web_options import WebOptions
from utils.errors import run_command
from webpage.page import serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves the page until it is stopped."""
    serve(parse_options(WebOptions, arguments, __doc__ or ""))


if __name__ == "__main__":
    run_command(main)
