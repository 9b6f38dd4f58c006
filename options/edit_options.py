"""The command line of `scripts/edit.py`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from options.ageing_options import EDITING
from options.inference_options import SamOptions, style_indices
from options.judge_options import JudgeOptions
from options.target_ages import UNIFORM_RANDOM
from utils.errors import InputError
from utils.typed_options import count, number, option, paths


def strength_list(text: str) -> tuple[float, ...]:
    """Numbers separated by commas, of which 0 is the unedited face and added if it is missing; in order."""
    found = sorted({0.0, *(number(part) for part in text.split(","))})
    if len(found) < 2:
        raise argparse.ArgumentTypeError(f"{text}: give other strengths than 0, such as -3,3")
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class EditOptions(SamOptions, JudgeOptions):
    """Options of `scripts/edit.py`."""

    title = "editing"

    target_age: str | None = option(
        "20,40,60,80",
        str,
        f"target ages in years, {UNIFORM_RANDOM}, or relative to the age of the input as in +20,-15",
        metavar="YEARS,...",
    )
    n_directions: int = option(
        5, count, "closed-form directions of the generator, the strongest ones; 0: none", metavar="N"
    )
    directions: tuple[str, ...] | None = option(
        None,
        paths,
        "further directions: .npy, .pt or .safetensors, each of style_dim or n_styles x style_dim numbers",
        metavar="FILE,...",
    )
    strengths: tuple[float, ...] = option(
        (-2.0, -1.0, 0.0, 1.0, 2.0),
        strength_list,
        "how far along each direction, in standard deviations of the generator's own random codes",
        metavar="NUMBER,...",
    )
    latent_mask: tuple[int, ...] | None = option(
        None, style_indices, "styles that are edited, counted from 0; all if absent", metavar="INDEX,..."
    )

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.exp_dir) / EDITING

    def check(self) -> None:
        """Raises ``InputError`` if there is no direction to go."""
        if not self.n_directions and not self.directions:
            raise InputError(
                "there is no direction to edit along; give --directions=FILE or --n_directions=5"
            )
