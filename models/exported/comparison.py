"""How far a graph is from the model that it was made of."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.aging_model import AgingModel
from models.exported.card import AGES, BATCH, COUNT, Signature
from models.exported.parts import example_inputs, functions_of
from models.exported.session import Session
from utils.errors import InputError

# Largest difference from the model in float32, in units of its largest number (at least 1).
BOUNDS = {"float32": 1e-3, "float16": 0.1}
# Numbers of faces, ages and codes: others than a graph is traced with.
_CHECKED = ({BATCH: 1, AGES: 1, COUNT: 1}, {BATCH: 3, AGES: 2, COUNT: 4})

Reference = tuple[Mapping[str, Tensor], Tensor]  # inputs by name, and the result


@torch.no_grad()
def references(model: AgingModel, name: str, signature: Signature) -> list[Reference]:
    """Inputs of a graph, and what the model makes of them."""
    found: list[Reference] = []
    for seed, numbers in enumerate(_CHECKED, start=1):
        inputs = example_inputs(model, signature.inputs, numbers, seed)
        found.append((inputs, functions_of(model)[name](*inputs.values()).float()))
    return found


def largest_difference(session: Session, wanted: Sequence[Reference], precision: str) -> float:
    """The largest difference of a graph from the model, as :data:`BOUNDS` measure it.

    Raises:
        InputError: it is beyond the bound of the precision.
    """
    largest, bound = 0.0, BOUNDS[precision]
    for inputs, expected in wanted:
        difference = (session(inputs) - expected).abs().amax() / expected.abs().amax().clamp(min=1)
        largest = max(largest, float(difference.nan_to_num(float("inf"))))
    if not largest <= bound:
        raise InputError(
            f"{session.path.name} differs from the model by {largest:.2g} of its largest number, more than "
            f"{bound:g}; nothing was written"
        )
    return largest
