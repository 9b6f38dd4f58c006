"""Ways in which files come to harm, drawn from a seed: what the fuzzing tests do to sound files."""

import random
from collections.abc import Callable, Iterator

Damage = Callable[[bytes, random.Random], bytes]


def flipped_bit(data: bytes, draws: random.Random) -> bytes:
    """One bit is another: a bad cable, a bad memory cell."""
    return _with(data, draws.randrange(len(data)), lambda old: old ^ (1 << draws.randrange(8)))


def truncated(data: bytes, draws: random.Random) -> bytes:
    """The end is missing: a broken download, a full disk."""
    return data[: draws.randrange(len(data))]


def zeroed(data: bytes, draws: random.Random) -> bytes:
    """A block holds zeros: a file system after a loss of power."""
    start, length = _block(data, draws)
    return data[:start] + bytes(length) + data[start + length :]


def scrambled(data: bytes, draws: random.Random) -> bytes:
    """A block holds what belongs elsewhere: a bad sector."""
    start, length = _block(data, draws)
    return data[:start] + draws.randbytes(length) + data[start + length :]


def cut_out(data: bytes, draws: random.Random) -> bytes:
    """A block is missing: a transfer in text mode."""
    start, length = _block(data, draws)
    return data[:start] + data[start + length :]


def repeated(data: bytes, draws: random.Random) -> bytes:
    """A block stands twice: a transfer that went on at the wrong place."""
    start, length = _block(data, draws)
    return data[: start + length] + data[start:]


DAMAGES: tuple[Damage, ...] = (flipped_bit, truncated, zeroed, scrambled, cut_out, repeated)


def damaged(data: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields `count` damaged copies of a file's bytes, none like it, each with the name of its damage."""
    draws = random.Random(seed)
    made = 0
    while made < count:
        damage = DAMAGES[made % len(DAMAGES)]
        result = damage(data, draws)
        if result != data:
            made += 1
            yield f"{damage.__name__} {made} of seed {seed}", result


def _block(data: bytes, draws: random.Random) -> tuple[int, int]:
    length = min(len(data), 1 << draws.randrange(1, 10))
    return draws.randrange(len(data) - length + 1), length


def _with(data: bytes, position: int, change: Callable[[int], int]) -> bytes:
    return data[:position] + bytes([change(data[position])]) + data[position + 1 :]
