"""Options that every training shares."""

import argparse
import math

from utils.errors import InputError


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def positive(text: str) -> int:
    """An integer of at least 1."""
    return _integer(text, 1)


def count(text: str) -> int:
    """An integer of at least 0."""
    return _integer(text, 0)


def weight(text: str) -> float:
    """A finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number of at least 0")
    return value


def rate(text: str) -> float:
    """A finite number above 0."""
    value = weight(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = weight(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 1")
    return value


def parse_numbers(text: str | None, flag: str, length: int | None = None) -> list[int] | None:
    """Reads positive integers such as `1,2,3`; None or nothing gives None.

    Raises:
        InputError: not such a list, or not of that length.
    """
    if not text:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{flag}={text}: give integers separated by commas") from error
    if min(numbers) < 1:
        raise InputError(f"{flag}={text}: the numbers must be at least 1")
    if length is not None and len(numbers) != length:
        raise InputError(f"{flag}={text}: give {length} numbers, not {len(numbers)}")
    return numbers


def parse_share(text: str) -> tuple[float, float]:
    """Reads `A-B`, two percentages.

    Raises:
        InputError: not two rising numbers within 0-100.
    """
    try:
        start, end = (float(part) for part in text.split("-"))
    except ValueError as error:
        raise InputError(f"--data_share={text}: give two percentages such as 0-60") from error
    if not 0 <= start < end <= 100:
        raise InputError(f"--data_share={text}: the percentages must rise within 0-100")
    return start, end


def add_device(group: argparse._ActionsContainer, precision: str, precision_help: str) -> None:
    """Adds `--device` and `--mixed_precision`, whose default is `precision`."""
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    group.add_argument(
        "--mixed_precision", default=precision, choices=["auto", "bf16", "no"], help=precision_help
    )


def add_ops(group: argparse._ActionsContainer) -> None:
    """Adds the choice of StyleGAN2's operators, for `models.stylegan2.op.choose_ops`."""
    group.add_argument(
        "--ops",
        default="auto",
        choices=["auto", "cuda", "native"],
        help="StyleGAN2's operators: cuda compiles them, native is plain PyTorch, auto compiles where it can",
    )


def add_base_options(parser: argparse.ArgumentParser) -> None:
    """Adds run folder, data loading, loop, logging and device."""
    run = parser.add_argument_group("run")
    run.add_argument("--coach", help="what to train (see above)")
    run.add_argument(
        "--exp_dir", required=True, metavar="DIR", help="run folder; the same command continues it"
    )
    run.add_argument("--max_steps", type=positive, default=500_000, help="steps in all")
    run.add_argument("--seed", type=count, default=0, help="seed of weights, data order and ages")
    run.add_argument("--dry_run", action="store_true", help="print the options and stop")

    data = parser.add_argument_group("data")
    data.add_argument("--batch_size", type=positive, default=4)
    data.add_argument("--test_batch_size", type=positive, default=2)
    data.add_argument(
        "--workers", type=count, default=4, help="processes that decode, for folders larger than memory"
    )
    data.add_argument("--test_workers", type=count, default=2)

    device = parser.add_argument_group("device")
    add_device(device, "auto", "auto: bf16 where it is fast")
    add_ops(device)
    device.add_argument("--threads", type=count, default=0, help="CPU threads; 0 leaves torch's choice")

    log = parser.add_argument_group("logging and saving, in steps (0: never)")
    log.add_argument("--image_interval", type=count, default=100)
    log.add_argument("--board_interval", type=count, default=50)
    log.add_argument("--val_interval", type=count, default=1000)
    log.add_argument("--save_interval", type=count, default=None, help="write iteration_N.pt")
    log.add_argument(
        "--save_minutes", type=weight, default=5, help="write the resume state this often; 0: never"
    )
