"""Ages that SAM and MyTimeMachine train towards: draws, weights by age difference, and neighbour windows.

Ages are float years throughout.  Functions named ``official_*`` reproduce the official draws, number for
number.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.ages import OLDEST, scale_age
from utils.errors import InputError

# "aging" is SAM's: it knows no ages of photos to stay between. The others are MyTimeMachine's.
Mode = Literal["no_aging", "aging", "interpolation", "extrapolation"]
MODES: tuple[Mode, ...] = ("no_aging", "interpolation", "extrapolation")
AgeRange = tuple[float, float]

LAST_YEAR = int(OLDEST)
WINDOW_YEARS = 3.0
NO_AGING_PROBABILITY = 1 / 3


def cosine_weight(age_difference: Tensor) -> Tensor:
    """``0.75 + 0.25 cos(pi d / 100)`` of a difference in years, any shape: 1 at none, 0.5 at 100 years."""
    return 0.25 * torch.cos(math.pi * scale_age(age_difference.abs())) + 0.75


def distance_to_range(ages: Tensor, age_range: AgeRange) -> Tensor:
    """Years from each age ``(B,)`` to the nearer end of a range."""
    low, high = age_range
    return torch.minimum((ages - low).abs(), (ages - high).abs())


# ---------------------------------------------------------------- modes


def draw_no_aging(generator: torch.Generator) -> bool:
    """SAM: whether this batch keeps its ages (probability 1/3)."""
    return bool(torch.rand((), generator=generator) < NO_AGING_PROBABILITY)


def draw_mode(generator: torch.Generator, age_range: AgeRange) -> Mode:
    """MyTimeMachine: the mode of this batch, each with probability 1/3 where ``possible_mode`` allows it."""
    return possible_mode(MODES[int(torch.randint(len(MODES), (), generator=generator))], age_range)


def possible_mode(mode: Mode, age_range: AgeRange) -> Mode:
    """The mode itself, or interpolation where photos of ages 0 to 100 leave nothing to extrapolate to."""
    return "interpolation" if mode == "extrapolation" and not _ages_outside(age_range) else mode


# ---------------------------------------------------------------- target ages


def draw_uniform_ages(count: int, generator: torch.Generator) -> Tensor:
    """SAM: ``count`` whole years, each of 0..100 equally likely; float32 ``(count,)``."""
    return torch.randint(0, LAST_YEAR + 1, (count,), generator=generator).float()


def draw_target_ages(
    mode: Mode, input_ages: Tensor, age_range: AgeRange, generator: torch.Generator
) -> Tensor:
    """MyTimeMachine with its draws repaired: every age that a mode allows is equally likely.

    Interpolation draws whole years from the training range, ends included; extrapolation draws from all whole
    years of 0..100 outside it, so that each side counts by its width.  A range without a whole year in it
    (one photo of age 41.5) interpolates to its middle; a range that leaves nothing outside interpolates
    instead.

    Args:
        mode: mode of the batch.
        input_ages: years ``(B,)``, the targets of *no aging*.
        age_range: youngest and oldest training age, years.
        generator: source of the draws, on the CPU.

    Returns:
        Target ages ``(B,)`` in years, float32.
    """
    if mode == "no_aging":
        return input_ages.float().clone()
    inside = possible_mode(mode, age_range) == "interpolation"
    choices = torch.tensor(_ages_inside(age_range) if inside else _ages_outside(age_range))
    drawn = torch.randint(len(choices), (len(input_ages),), generator=generator)
    return choices[drawn].to(input_ages.device)


def _ages_inside(age_range: AgeRange) -> list[float]:
    low, high = age_range
    whole = [float(age) for age in range(math.ceil(low), math.floor(high) + 1)]
    return whole or [(low + high) / 2]


def _ages_outside(age_range: AgeRange) -> list[float]:
    low, high = age_range
    return [float(age) for age in range(LAST_YEAR + 1) if age < low or age > high]


def official_target_ages(
    mode: Mode, input_ages: Tensor, age_range: AgeRange, random: np.random.RandomState
) -> Tensor:
    """MyTimeMachine as published.

    The oldest training age is never an interpolation target, and both sides of extrapolation are equally
    likely, however narrow.

    Returns target ages ``(B,)`` in years, float32.

    Raises:
        InputError: where the official code fails: interpolation with photos of one age only, extrapolation
            with a photo of age 0.
    """
    if mode == "no_aging":
        return input_ages.float().clone()
    draws = [official_age(mode, age_range, random) for _ in range(len(input_ages))]
    return torch.tensor(draws, dtype=torch.float32, device=input_ages.device)


def official_age(
    mode: Mode | Literal["uniform_random"], age_range: AgeRange, random: np.random.RandomState
) -> int:
    """One official draw, in whole years; consumes the random stream as the official code does.

    Raises:
        InputError: for a person's age range the official code cannot draw from.
    """
    low, high = int(age_range[0]), int(age_range[1])
    if mode == "interpolation":
        if low >= high:
            raise InputError(
                f"all photos have age {low}, between which the official recipe cannot interpolate; "
                "use --recipe=corrected or add photos of other ages"
            )
        return int(random.randint(low, high))
    if mode == "extrapolation":
        if low <= 0:
            raise InputError(
                "a photo of age 0 leaves the official recipe nothing younger to extrapolate to; "
                "use --recipe=corrected or leave that photo out"
            )
        younger, older = random.randint(0, low), random.randint(high, LAST_YEAR + 1)
        return int(random.choice([younger, older]))
    return int(random.randint(0, LAST_YEAR + 1))


# ---------------------------------------------------------------- training photos


def training_age_range(ages: Sequence[float], official: bool = False) -> AgeRange:
    """Youngest and oldest age of the training photos, years.

    The official ends are ``int(100 * age)`` of an age in floating-point centuries, which turns 29, 57 and 58
    into 28, 56 and 57.

    Raises:
        InputError: without any age.
    """
    if len(ages) == 0:
        raise InputError("no training photo has an age; name the files {age}_{index}.jpg")
    low, high = min(ages), max(ages)
    if official:
        return float(int(100 * scale_age(float(int(low))))), float(int(100 * scale_age(float(int(high)))))
    return float(low), float(high)


def closest_age(target: float, ages: Sequence[float], official: bool = False) -> float:
    """The training age nearest to a target, the first in order on a tie; years.

    The official target comes from the age plane of the picture, a float32, while the ages of the photos are
    doubles: where a target lies in the middle between two ages, the rounding of the plane decides.
    """
    if official:
        plane = float(np.float32(scale_age(target)))
        return min(ages, key=lambda age: abs(scale_age(age) - plane))
    return min(ages, key=lambda age: abs(age - target))


def neighbour_window(target: float, ages: Sequence[float], official: bool = False) -> list[int]:
    """Which photos are near enough to a target age to lend their identity.

    First the training age closest to the target is found, then every photo within three years of *that* age
    counts. The official comparison is made in floating-point centuries, ``|a - b| <= 0.03``, and misses about
    half of the neighbours that are exactly three years away; the repaired one is made in years.

    Args:
        target: target age, years.
        ages: ages of the photos, years.
        official: compare as the official code does.

    Returns:
        Positions in ``ages``, at least one.
    """
    closest = closest_age(target, ages, official)
    if official:
        near = (abs(scale_age(age) - scale_age(closest)) <= scale_age(WINDOW_YEARS) for age in ages)
    else:
        near = (abs(age - closest) <= WINDOW_YEARS + 1e-4 for age in ages)
    return [index for index, counts in enumerate(near) if counts]
