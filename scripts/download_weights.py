"""Downloads official weights into the folder where everything looks for them: resumed, checked, whole."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from models.weights_folder import OFFICIAL, bring_all, chosen_weights, table
from options.parser import parse_options
from options.weights_options import DownloadOptions
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Downloads what was named, or shows the table."""
    names = f"names: {', '.join(OFFICIAL)}"
    opts = parse_options(DownloadOptions, arguments, __doc__ or "", epilog=names)
    root = Path(opts.root).absolute()
    if opts.list:
        print(table(root))
        return
    chosen = chosen_weights(opts.names, opts.all)
    bring_all(chosen, root, opts.mirror, opts.force, check=not opts.no_check)


if __name__ == "__main__":
    run_command(main)
