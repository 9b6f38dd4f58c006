"""The two recipes of SAM and MyTimeMachine: every repaired fault of the published training is one switch."""

from dataclasses import dataclass, fields
from typing import TypeVar

from utils.errors import InputError


@dataclass(frozen=True)
class MyTimeMachineRecipe:
    """Each switch repairs one fault where true and keeps the published behaviour where false."""

    # the frozen SAM normalises with its running statistics, which then cannot drift
    prior_in_eval_mode: bool = True
    # the adapter's last layers start at zero, so the first pictures are SAM's own
    adapter_starts_at_zero: bool = True
    # whole-batch sum of the adaptive W-norm becomes its mean times the published batch of 4
    w_norm_independent_of_batch: bool = True
    # --adaptive_w_norm_lambda=0 leaves extrapolation SAM's W-norm, not none
    w_norm_without_adaptive: bool = True
    # extrapolation counts the ageing loss once, not twice
    aging_loss_once: bool = True
    # the *_aging weights of L2 and LPIPS hold for aged batches only, as in SAM
    plain_weights_without_aging: bool = True
    # neighbours exactly three years away count always, not at the mercy of floating point
    window_in_whole_years: bool = True
    # reference features are taken from both flips of every photo, not from one at random
    references_of_both_flips: bool = True
    # --nearest_neighbor_id_loss_lambda is the weight of that loss, which officially is always 1
    neighbour_weight_respected: bool = True
    # the training range ends at the youngest and oldest age, not at int(100 * age), one year less at 29, 57
    # and 58
    exact_age_range: bool = True
    # interpolation may draw the oldest training age
    inclusive_ages: bool = True
    # the two sides of extrapolation are drawn in proportion to their width; people of one age or age 0 can be
    # drawn
    sides_by_width: bool = True
    # 41.5_2.jpg is 41.5 years old, not 41
    decimal_ages: bool = True
    # terms of the cycle pass are logged beside those of the real pass instead of overwriting them
    distinct_log_names: bool = True


@dataclass(frozen=True)
class SAMRecipe:
    """The same for SAM."""

    # the frozen pSp normalises with its running statistics, which then cannot drift
    prior_in_eval_mode: bool = True
    # the filters of the age plane start at zero, not from unit normal numbers
    age_plane_starts_at_zero: bool = True


Recipe = TypeVar("Recipe", MyTimeMachineRecipe, SAMRecipe)


def get_recipe(switches: type[Recipe], name: str) -> Recipe:
    """The recipe that ``--recipe`` names.

    Args:
        switches: whose.
        name: ``corrected``, with all repairs, or ``official``, with none.

    Raises:
        InputError: for another name.
    """
    if name not in ("corrected", "official"):
        raise InputError(f"--recipe={name} is unknown; choose corrected or official")
    return switches(**{switch.name: name == "corrected" for switch in fields(switches)})
