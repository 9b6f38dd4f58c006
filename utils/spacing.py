"""Some of many, spread evenly."""


def evenly(count: int, wanted: int | None, at: float = 0.0) -> list[int]:
    """``wanted`` of ``count`` positions, one from each of as many equal parts; or all of them.

    Args:
        count: positions.
        wanted: how many of them; None, or more than there are, stands for all.
        at: where in its part a position lies: 0 at the start, 0.5 in the middle.
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    return [int((part + at) * count / wanted) for part in range(wanted)]
