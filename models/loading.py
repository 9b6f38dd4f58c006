"""State dicts into networks; a file that does not fit is refused with the likely cause."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.misfit import likely_cause
from utils.errors import InputError


def subset(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose key starts with ``prefix`` (``"encoder."``), without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def load_into(module: nn.Module, state: Mapping[str, Tensor], source: str, strict: bool = True) -> None:
    """Copies a state dict into a module, in the module's own precision.

    Missing ``num_batches_tracked`` counters of old files are left as they are. With ``strict=False`` missing
    and unexpected keys are accepted, shapes must still agree.

    Raises:
        InputError: the layouts differ; names ``source``, the first differences and the likely cause.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}  # of a parallel wrapper
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if shapes or (strict and (missing or unexpected)):
        raise InputError(_difference(source, own, state, missing, unexpected, shapes))
    module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


class SkipInit(TorchFunctionMode):
    """Context in which modules are built without drawing the random weights that a file will overwrite."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def _difference(
    source: str,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    missing: list[str],
    unexpected: list[str],
    shapes: list[str],
) -> str:
    parts = [f"{source} does not fit this network: {likely_cause(own, state, shapes)}"]
    for label, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            parts.append(f"{label} {', '.join(keys[:3])}{_more(keys)}")
    if shapes:
        listed = [f"{key} is {list(state[key].shape)} not {list(own[key].shape)}" for key in shapes[:3]]
        parts.append(", ".join(listed) + _more(shapes))
    return "; ".join(parts)


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 3} more" if len(keys) > 3 else ""
