"""``--compile=graphs``: networks whose passes are recorded once and replayed as CUDA graphs.

A large GPU waits for the processor that issues the kernels of a network one by one; a graph goes at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from utils.notes import note
from utils.recorded_pass import CUDARecorder, RecordedPass, Recorder

WANTED_FROM = 3  # passes of a shape: rarer ones are not worth the time of a recording
LARGEST_NUMBER = 16  # recordings of a network; each keeps the memory of a pass
LEAST_ROOM = 0.25  # of the memory of a GPU: with less left nothing more is recorded

Value = TypeVar("Value")

_weights_change = False
_inputs: set[int] = set()  # memory that a pass which is being recorded gets its inputs in
_kept: list[Any] | None = None  # by that pass


def kept_by_recording(value: Value) -> Value:
    """The value, which lives as long as the pass that is being recorded, if one is: it reads its memory."""
    if _kept is not None:
        _kept.append(value)
    return value


def records_changing(tensors: Iterable[Tensor]) -> bool:
    """Whether a pass is being recorded in which these change: what follows from them must be part of it."""
    return _weights_change or any(tensor.untyped_storage()._cdata in _inputs for tensor in tensors)


class RecordedForward:
    """The forward pass of a network on a GPU, recorded once for each shape of its inputs.

    The backward pass is recorded with it. Numbers are those of the eager pass, random ones included. What
    cannot be recorded runs eagerly: other devices, second derivatives, what waits for the device (said once).

    Args:
        network: its parameters may learn in place, but must stay where they are in memory.
        recorder: makes the recorder of a pass and its backward pass.
        kind: type of the device that it records on.
        wanted_from: passes of the same shape run eagerly before the one of this number.
    """

    def __init__(
        self,
        network: nn.Module,
        recorder: Callable[[], Recorder] = CUDARecorder,
        kind: str = "cuda",
        wanted_from: int = WANTED_FROM,
    ) -> None:
        self.eager = network.forward
        self.failed = False
        self._wanted_from = wanted_from
        self._passes: dict[Any, int] = {}
        self._network, self._recorder, self._kind = network, recorder, kind
        self._parameters = list(network.parameters())
        self._buffers = list(network.buffers())
        self._changes = False  # whether its weights do, as far as was seen
        self._versions: list[int] = []
        self._recordings: dict[Any, list[RecordedPass]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, form = tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if self.failed or not self._can_record(tensors):
            return self.eager(*args, **kwargs)
        recording = self._recording(leaves, tensors, form)
        return self.eager(*args, **kwargs) if recording is None else recording(tensors)

    def _can_record(self, tensors: Sequence[Tensor]) -> bool:
        plain = all(
            type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == self._kind
            for tensor in (*tensors, *self._parameters)
        )
        return bool(tensors) and plain and not torch.is_inference_mode_enabled()

    def _recording(self, leaves: list[Any], tensors: list[Tensor], form: Any) -> "RecordedPass | None":
        """One that is free; None where there is none and none can be made."""
        learns = torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (*tensors, *self._parameters)
        )
        given = [
            (leaf.shape, leaf.dtype, learns and leaf.requires_grad) if isinstance(leaf, Tensor) else leaf
            for leaf in leaves
        ]
        self._watch()
        own = [(parameter.data_ptr(), learns and parameter.requires_grad) for parameter in self._parameters]
        autocast = torch.is_autocast_enabled(self._kind) and torch.get_autocast_dtype(self._kind)
        key = (str(form), tuple(given), tuple(own), learns, autocast, self._network.training)
        try:
            self._passes[key] = self._passes.get(key, 0) + 1
        except TypeError:  # an argument without a hash
            return None
        found = self._recordings.setdefault(key, [])
        free = next((recording for recording in found if recording.is_free()), None)
        if free is None and self._passes[key] >= self._wanted_from and self._has_room():
            free = self._record(leaves, form, learns)
            if free is not None:
                found.append(free)
        return free

    def _watch(self) -> None:
        """Looks whether weights change; if they do, recordings made before are of no use."""
        if self._changes:
            return
        earlier, self._versions = self._versions, self._seen_versions()
        changed = bool(self._recordings) and self._versions != earlier
        # Some optimisers leave no trace.
        if changed or any(parameter.requires_grad for parameter in self._parameters):
            self._changes = True
            self._recordings.clear()

    def _seen_versions(self) -> list[int]:
        return [tensor._version for tensor in (*self._parameters, *self._buffers)]

    def _has_room(self) -> bool:
        """For one more recording."""
        if sum(map(len, self._recordings.values())) >= LARGEST_NUMBER:
            return False
        if self._kind != "cuda":
            return True
        free, total = torch.cuda.mem_get_info()
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return free + unused > LEAST_ROOM * total

    def _record(self, leaves: list[Any], form: Any, learns: bool) -> "RecordedPass | None":
        def run(tensors: Sequence[Tensor]) -> Any:
            following = iter(tensors)
            filled = [next(following) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            args, kwargs = tree_unflatten(filled, form)
            return self.eager(*args, **kwargs)

        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        kept = [buffer.clone() for buffer in self._buffers]
        try:
            inputs = [tensor.detach().clone() for tensor in tensors]
            for own, tensor in zip(inputs, tensors, strict=True):
                own.requires_grad_(learns and tensor.requires_grad)
            at_home = _at_home_on(inputs[0].device)
            with at_home, _recording_of(inputs, self._changes) as kept_alive:
                made = RecordedPass(run, inputs, self._network, learns, self._recorder(), self._kind)
                made.kept_alive = kept_alive
                return made
        except RuntimeError as error:
            self.failed = True
            reason = str(_first_of(error)).strip().split("\n")[0]
            note(f"--compile: {type(self._network).__name__} cannot be recorded and runs eagerly: {reason}")
            return None
        finally:
            for buffer, before in zip(self._buffers, kept, strict=True):
                buffer.data.copy_(
                    before
                )  # statistics saw the pass several times; no version: some wait for it
            self._versions = self._seen_versions()


@contextmanager
def _recording_of(inputs: Sequence[Tensor], weights_change: bool) -> Iterator[list[Any]]:
    global _weights_change, _inputs, _kept
    _weights_change, _kept = weights_change, []
    _inputs = {tensor.untyped_storage()._cdata for tensor in inputs}
    try:
        yield _kept
    finally:
        _weights_change, _inputs, _kept = False, set(), None


def _first_of(error: BaseException) -> BaseException:
    """What went wrong first: the end of a broken recording is an error of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return error


@contextmanager
def _at_home_on(device: torch.device) -> Iterator[None]:
    """Makes a device the current one, and leaves its random numbers where they were."""
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    with torch.cuda.device(device):
        state = torch.cuda.get_rng_state(device)
        try:
            yield
        finally:
            torch.cuda.set_rng_state(state, device)
