"""Forms of frozen weights that are computed once: folded, scaled, stacked or in another dtype."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from utils.exporting import exporting
from utils.recordings import kept_by_recording, records_changing

Form = TypeVar("Form")


class Prepared(Generic[Form]):
    """Keeps what was computed from some weights for as long as these stay what they are.

    Weights that learn are never kept: a gradient reaches them, and fused optimisers change them without a
    trace. Others may be loaded, moved or averaged, and nothing has to be told. It is no part of the state
    dict, and copies of a module begin anew.
    """

    def __init__(self) -> None:
        self._key: Any = None
        self._form: Form | None = None
        self._sources: list[Tensor] = []

    def of(self, weights: Sequence[Tensor | None], compute: Callable[[], Form], *settings: Any) -> Form:
        """``compute()``, from the last call where nothing has changed.

        Args:
            weights: all tensors that ``compute`` reads; None entries are left out.
            compute: makes the form; it must not keep random or other state.
            settings: whatever else the form depends on, such as a dtype.
        """
        if exporting() and self._form is not None and self._key[: len(settings)] == settings:
            return self._form  # of a pass before: a constant of the graph
        present = [weight for weight in weights if weight is not None]
        if torch.compiler.is_compiling() or records_changing(present):  # both take in what makes it
            return compute()
        return kept_by_recording(self._known(present, compute, *settings))

    def _known(self, present: Sequence[Tensor], compute: Callable[[], Form], *settings: Any) -> Form:
        if not frozen(present) or not have_numbers(present):
            return compute()
        key = (*settings, *((weight.data_ptr(), weight._version) for weight in present))
        if self._form is not None and key == self._key:
            return self._form
        with torch.no_grad():
            form = compute()
        if have_numbers(tree_leaves(form)):
            # The memory of the weights stays in use, so that no other tensor can be at the same address.
            self._key, self._form, self._sources = key, form, [weight.detach() for weight in present]
        return form

    def __deepcopy__(self, memo: dict[int, Any]) -> "Prepared[Form]":
        return type(self)()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


def frozen(weights: Sequence[Tensor | None]) -> bool:
    """Whether none of the weights learns, and each tells when it is changed."""
    present = [weight for weight in weights if weight is not None]
    if any(weight.requires_grad for weight in present):
        return False
    return torch.compiler.is_compiling() or not any(weight.is_inference() for weight in present)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype that autocast gives to convolutions of ``x``; that of ``x`` without autocast."""
    kind = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(kind):
        return x.dtype
    return torch.get_autocast_dtype(kind)


def have_numbers(values: Sequence[Any]) -> bool:
    """Whether all tensors have memory of their own, which those of a rehearsal have not."""
    return all(type(value) in (Tensor, nn.Parameter) for value in values if isinstance(value, Tensor))
