"""State dicts into networks; a file that does not fit is refused with the likely cause.

Everything that a file says about a network passes here: its sizes (:func:`described_by`,
:func:`built_from`), its weights (:func:`load_into`) and single vectors (:func:`checked_numbers`).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.misfit import likely_cause
from utils.errors import InputError
from utils.files.checkpoint_content import is_finite

SPARE_NUMBERS = 1 << 20  # of a network beyond those in its file: mean latents, counters
NEW_TENSORS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand}
AnyModule = TypeVar("AnyModule", bound=nn.Module)


def subset(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose key starts with ``prefix`` (``"encoder."``), without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def weights_of(checkpoint: Mapping[str, Any], source: str) -> Mapping[str, Tensor]:
    """The entry ``state_dict`` of a file.

    Raises:
        InputError: there is none.
    """
    if not checkpoint.get("state_dict"):
        raise InputError(f"{source} holds no weights (its entry state_dict is missing); give another file")
    return checkpoint["state_dict"]


def load_into(module: nn.Module, state: Mapping[str, Tensor], source: str, strict: bool = True) -> None:
    """Copies a state dict into a module, in the module's own precision.

    Missing ``num_batches_tracked`` counters of old files are left as they are. With ``strict=False`` missing
    and unexpected keys are accepted, shapes must still agree.

    Raises:
        InputError: the layouts differ; names ``source``, the first differences and the likely cause. Or a
            weight is no tensor of finite numbers of the right kind.
    """
    own = module.state_dict()
    for key, value in state.items():
        checked_numbers(value, key, source, own[key].is_floating_point() if key in own else None)
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if shapes or (strict and (missing or unexpected)):
        raise InputError(_difference(source, own, state, missing, unexpected, shapes))
    module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def checked_numbers(value: Any, key: str, source: str, floating: bool | None = True) -> Tensor:
    """A tensor of a file, if it is one of finite numbers.

    Args:
        value: what stands in the file.
        key: its name there.
        source: the file.
        floating: whether it must hold floating-point numbers, or must not; None if either will do.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, Tensor):
        raise InputError(f"{source}: {key} is a {type(value).__name__}, not a tensor; give another file")
    if value.is_complex() or value.is_meta or value.layout != torch.strided:
        problem = f"is a tensor of {value.dtype} ({value.layout}, {value.device}), not of plain numbers"
    elif floating is not None and value.is_floating_point() != floating:
        wanted = "floating-point" if floating else "whole"
        problem = f"holds {str(value.dtype).removeprefix('torch.')} numbers, not {wanted} ones"
    elif not is_finite(value):
        problem = "holds numbers that are not finite (its training failed)"
    else:
        return value
    raise InputError(f"{source}: {key} {problem}; give another file")


def mean_latent(checkpoint: Mapping[str, Any], source: str) -> Tensor | None:
    """The entry ``latent_avg`` of a file, (style_dim,) or (n_styles, style_dim) in float32; None without one.

    Raises:
        InputError: it is no such vector.
    """
    latent = checkpoint.get("latent_avg")
    if latent is None:
        return None
    latent = checked_numbers(latent, "latent_avg", source)
    if not latent.dim() or not latent.numel():
        raise InputError(f"{source}: latent_avg is {list(latent.shape)}, not a vector; give another file")
    return latent.float()


# ---------------------------------------------------------------- building what a file describes


@contextlib.contextmanager
def described_by(source: str) -> Iterator[None]:
    """Context in which the sizes that a file gives are read and used; what is wrong there is its fault.

    Raises:
        InputError: anything was.
    """
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(_no_network(source, error)) from error
    except RuntimeError as error:
        if "memory" in str(error):
            raise
        raise InputError(_no_network(source, error)) from error


def _no_network(source: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [""])[0][:160]
    reason = f"it lacks {error.args[0]}"[:160] if isinstance(error, KeyError) and error.args else reason
    reason = reason or type(error).__name__
    return f"{source} describes no network that can be built ({reason}); give another file"


def built_from(
    make: Callable[[], AnyModule], state: Mapping[str, Tensor], source: str, *, own_sizes: bool = False
) -> AnyModule:
    """Makes the network that a file describes and loads it, in no more memory than its weights take.

    Args:
        make: builds it, from what the file says.
        state: its weights.
        source: the file, for messages.
        own_sizes: the sizes are not the file's but known here, so that they need no limit.

    Raises:
        InputError: the description makes no network, or the weights do not fit.
    """
    if own_sizes:
        with SkipInit():
            network = make()
    else:
        network = empty_network(make, state, source)
    load_into(network, state, source)
    return network


def empty_network(make: Callable[[], AnyModule], state: Mapping[str, Tensor], source: str) -> AnyModule:
    """The first half of :func:`built_from`: the network before its weights, which may be any numbers.

    Raises:
        InputError: the description makes no network, or one of more weights than there are.
    """
    known = sum(value.numel() for value in state.values() if isinstance(value, Tensor))
    with described_by(source), SkipInit(known + SPARE_NUMBERS):
        return make()


class SkipInit(TorchFunctionMode):
    """Context in which modules are built without drawing the random weights that a file will overwrite.

    Args:
        most: numbers that the tensors made in it may have together.

    Raises:
        ValueError: they would have more; nothing was allocated.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.left = math.inf if most is None else most

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function in NEW_TENSORS:
            self.left -= _count(args[0] if args and not isinstance(args[0], int) else args)
            if self.left < 0:
                raise ValueError("it would be larger than its weights")
            function = torch.empty if function in (torch.randn, torch.rand) else function
        return function(*args, **kwargs)


def _count(sizes: Any) -> int:
    """Numbers in a tensor of these sizes."""
    return math.prod(max(0, size) for size in sizes if isinstance(size, int))


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
            parts.append(f"{label} {', '.join(key[:80] for key in keys[:3])}{_more(keys)}")
    if shapes:
        listed = [f"{key} is {list(state[key].shape)} not {list(own[key].shape)}" for key in shapes[:3]]
        parts.append(", ".join(listed) + _more(shapes))
    return "; ".join(parts)


def _more(keys: list[str]) -> str:
    return f" and {len(keys) - 3} more" if len(keys) > 3 else ""
