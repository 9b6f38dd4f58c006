"""Trains any network of AgeLab: `python scripts/train.py --coach=NAME ...` or `@configs/demo/NAME.args`."""

import _bootstrap  # noqa: F401

import json
from collections.abc import Sequence

from options.train_options import parse_train_options
from training.start import make_coach
from utils.distributed import is_main
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    opts = parse_train_options(arguments)
    if is_main():
        print(json.dumps(opts.record(), indent=2, sort_keys=True))
    if not opts.dry_run:
        make_coach(opts).train()


if __name__ == "__main__":
    run_command(main)
