"""Options that every training shares."""

import argparse


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


def add_base_options(parser: argparse.ArgumentParser) -> None:
    """Adds run folder, data loading, loop, logging and device."""
    run = parser.add_argument_group("run")
    run.add_argument("--coach", help="what to train (see above)")
    run.add_argument(
        "--exp_dir", required=True, metavar="DIR", help="run folder; the same command continues it"
    )
    run.add_argument("--max_steps", type=positive, default=500_000, help="steps in all")
    run.add_argument("--seed", type=int, default=0, help="seed of weights, data order and ages")
    run.add_argument("--dry_run", action="store_true", help="print the options and stop")

    data = parser.add_argument_group("data")
    data.add_argument("--batch_size", type=positive, default=4)
    data.add_argument("--test_batch_size", type=positive, default=2)
    data.add_argument(
        "--workers", type=int, default=4, help="processes that decode, for folders larger than memory"
    )
    data.add_argument("--test_workers", type=int, default=2)

    device = parser.add_argument_group("device")
    device.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    device.add_argument(
        "--mixed_precision",
        default="auto",
        choices=["auto", "bf16", "no"],
        help="auto: bf16 where it is fast",
    )
    device.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")

    log = parser.add_argument_group("logging and saving, in steps")
    log.add_argument("--image_interval", type=int, default=100)
    log.add_argument("--board_interval", type=int, default=50)
    log.add_argument("--val_interval", type=int, default=1000)
    log.add_argument("--save_interval", type=int, default=None, help="write iteration_N.pt")
    log.add_argument(
        "--save_minutes", type=float, default=5, help="write the resume state this often; 0: never"
    )
