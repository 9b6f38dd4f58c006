"""``--target_age`` of a clip: one age, or a path of ages through the clip such as ``20:0,60:10s``."""

import re
from dataclasses import dataclass

import numpy as np

from options.target_ages import TargetAge, parse_target_ages
from utils.ages import OLDEST, YOUNGEST, is_age
from utils.errors import InputError


@dataclass(frozen=True)
class AgePath:
    """Target ages and when they are reached; between two of them the age goes straight.

    Attributes:
        targets: in the order of time.
        times: when each is reached, rising; seconds, or shares of the clip.
        shares: the times are shares.
    """

    targets: tuple[TargetAge, ...]
    times: tuple[float, ...]
    shares: bool = False

    @property
    def relative(self) -> bool:
        """Whether one of the ages counts from that of the person."""
        return any(target.relative for target in self.targets)

    def beyond(self, own: float) -> list[tuple[str, float]]:
        """The relative ages that lie outside the range of ages for a person of an age, and their years."""
        sums = [(target.label, (target.years or 0.0) + own) for target in self.targets if target.relative]
        return [(label, years) for label, years in sums if not is_age(years)]

    def years(self, seconds: np.ndarray, length: float, own: float = 0.0) -> np.ndarray:
        """Ages (N,) in years at times (N,), within the range of ages.

        Args:
            seconds: from the start of the result.
            length: of the clip in seconds.
            own: age of the person, for relative ages.
        """
        ages = [(target.years or 0.0) + own * target.relative for target in self.targets]
        scale = length if self.shares else 1.0
        return np.interp(seconds, scale * np.array(self.times), np.clip(ages, YOUNGEST, OLDEST))


def parse_age_path(text: str | None) -> AgePath:
    """Reads ``60``, ``+20``, ``20:0,60:10s``, ``20:0,60:1:30`` (minutes) or ``20:0%,60:100%``.

    Raises:
        InputError: there is no age, one is none, or the times do not rise.
    """
    if not text:
        raise InputError("--target_age is needed: years such as 60 or +20, or a path such as 20:0,60:10s")
    entries = [entry.strip().split(":", 1) for entry in text.split(",")]
    if len(entries) > 1 and any(len(entry) < 2 for entry in entries):
        raise InputError(f"--target_age={text}: a clip takes one age, or ages with times such as 20:0,60:10s")
    targets = tuple(_target(entry[0]) for entry in entries)
    words = [entry[1].strip() if len(entry) > 1 else "0" for entry in entries]
    shares = {word.endswith("%") for word in words if word != "0"} or {False}
    if len(shares) > 1:
        raise InputError(f"--target_age={text}: give all times in seconds, or all in % of the clip")
    times = tuple(_time(word, text) for word in words)
    if any(later <= earlier for earlier, later in zip(times, times[1:], strict=False)):
        raise InputError(f"--target_age={text}: the times must rise")
    return AgePath(targets, times, shares.pop())


def _target(word: str) -> TargetAge:
    (target,) = parse_target_ages(word, allow_relative=True)
    if target.years is None:
        raise InputError(f"--target_age={word}: a clip takes an age in years, or one such as +20")
    return target


def _time(word: str, text: str) -> float:
    """A time in seconds, or a share: ``10``, ``10s``, ``1:30``, ``50%``."""
    found = re.fullmatch(r"(?:(\d+):)?(\d+(?:\.\d+)?|\.\d+)(s|%)?", word)
    if not found or (found[1] and found[3] == "%"):
        raise InputError(f"--target_age={text}: {word!r} is no time; give seconds (10s), 1:30 or 50%")
    value = 60 * float(found[1] or 0) + float(found[2])
    return value / 100 if found[3] == "%" else value
