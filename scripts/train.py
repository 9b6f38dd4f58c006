"""Trains any network of AgeLab: `python scripts/train.py --coach=NAME ...` or `@configs/demo/NAME.args`."""

import _bootstrap  # noqa: F401

import importlib
import json

from options.train_options import COACHES, parse_train_options
from utils.distributed import is_main
from utils.errors import run_command


def main() -> None:
    opts = parse_train_options()
    if is_main():
        print(json.dumps(vars(opts), indent=2, sort_keys=True))
    if opts.dry_run:
        return
    entry = COACHES[opts.coach]
    coach_class = getattr(importlib.import_module(entry.module), entry.class_name)
    coach_class(opts).train()


if __name__ == "__main__":
    run_command(main)
