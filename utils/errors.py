"""One error type for bad input, and the wrapper that turns it into a clear sentence and exit code 2."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """The user's input cannot be used; one sentence names the file or flag and the remedy."""


def run_command(main: Callable[[], int | None]) -> None:
    """Runs a script's ``main`` and exits: 0, 2 with one sentence on ``InputError``, or 130 on Ctrl-C."""
    try:
        code = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code or 0)
