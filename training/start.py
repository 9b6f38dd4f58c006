"""Makes the coach that a command line asks for."""

from typing import Any

from options.base_options import TrainOptions
from options.train_options import COACHES
from training.coach import Coach
from utils.lazy import implementation


def make_coach(opts: TrainOptions) -> Coach[Any]:
    """The coach behind ``opts.coach``, with its networks and data, at the step where its run stands.

    Raises:
        InputError: a file, folder or device that the options name cannot be used.
    """
    coach: type[Coach[Any]] = implementation(COACHES[opts.coach].coach)
    return coach(opts)
