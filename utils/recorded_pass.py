"""A pass through a network and its backward pass, recorded once as CUDA graphs and replayed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_flatten, tree_unflatten

WARM_UP = 3  # passes before a recording: libraries choose their algorithms, frozen weights take their form

_step = 0
_TENSOR = object()  # stands for one in what a pass returns


def next_step() -> None:
    """To be called before each step: passes of the last one that no backward pass followed are forgotten."""
    global _step
    _step += 1


class Recorder(Protocol):
    """Runs work once and returns what it made, and what makes it again in the same memory."""

    def __call__(
        self, compute: Callable[[], Sequence[Tensor | None]]
    ) -> tuple[Sequence[Tensor | None], Callable[[], None]]: ...


class CUDARecorder:
    """Records CUDA graphs that share memory; they are replayed in the order in which they were recorded."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(
        self, compute: Callable[[], Sequence[Tensor | None]]
    ) -> tuple[Sequence[Tensor | None], Callable[[], None]]:
        graph = torch.cuda.CUDAGraph()
        try:
            # Another thread may send the next batch to the device meanwhile.
            with torch.cuda.graph(graph, self._pool, _stream_of_recordings(), "thread_local"):
                results = compute()
        except RuntimeError:
            # Else the random numbers of the device stay those of a recording.
            with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=_stream_of_recordings()):
                torch.zeros(1, device="cuda")
            raise
        self._pool = graph.pool()
        return results, graph.replay


class RecordedPass:
    """A forward pass and its backward pass, in memory of their own.

    Args:
        run: the pass.
        inputs: what it is given; memory of the recording.
        network: whose pass it is.
        learns: whether gradients are wanted.
        recorder: for both.
        kind: type of the device.

    Attributes:
        kept_alive: what the pass reads and nothing else may hold.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Tensor]], Any],
        inputs: Sequence[Tensor],
        network: nn.Module,
        learns: bool,
        recorder: Recorder,
        kind: str,
    ) -> None:
        self._busy_in = -1
        self.kept_alive: list[Any] = []
        self.inputs = list(inputs)
        twins = _twins(network) if learns else {}
        self.parameters = list(twins)
        learning = [*(tensor for tensor in self.inputs if tensor.requires_grad), *twins.values()]
        results: list[Any] = []
        made: list[Tensor] = []

        def forward() -> list[Tensor]:
            made.clear()
            results.clear()  # an old pass would keep its part of the autograd graph, with its stream
            with torch.set_grad_enabled(learns), _without_kept_casts(kind), _in_place_of(twins, network):
                results[:], self._form = tree_flatten(run(self.inputs))
            made[:] = [result for result in results if isinstance(result, Tensor)]
            return [tensor.detach() for tensor in made]

        def backward() -> tuple[Tensor | None, ...]:
            ends = [tensor for tensor in made if tensor.requires_grad]
            with torch.autocast(kind, enabled=False):
                return torch.autograd.grad(ends, learning, self.gradients, allow_unused=True)

        with _aside(kind):
            for _ in range(WARM_UP):
                forward()
                self.gradients = [torch.zeros_like(tensor) for tensor in made if tensor.requires_grad]
                if self.gradients:
                    backward()
        self.outputs, self.replay_forward = recorder(forward)
        self._wanted = [tensor.requires_grad for tensor in made]
        self.learned: Sequence[Tensor | None] = ()
        if self.gradients:
            self.learned, self.replay_backward = recorder(backward)
        self._results = [_TENSOR if isinstance(result, Tensor) else result for result in results]
        made.clear()
        results.clear()

    def is_free(self) -> bool:
        """Whether the backward pass of its last forward pass is over."""
        return self._busy_in != _step

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        """What the pass makes of tensors of the same shapes."""
        if not self.gradients:
            self.fill(tensors)
            self.replay_forward()
            return self._filled([output.clone() for output in self.outputs if output is not None])
        self._busy_in = _step
        return self._filled(_Replayed.apply(self, *tensors, *self.parameters))

    def _filled(self, tensors: Iterable[Tensor]) -> Any:
        """Tensors in the place of those that the pass returned."""
        following = iter(tensors)
        results = [next(following) if result is _TENSOR else result for result in self._results]
        return tree_unflatten(results, self._form)

    def fill(self, tensors: Sequence[Tensor]) -> None:
        """Gives the recorded pass its inputs."""
        for own, tensor in zip(self.inputs, tensors, strict=True):
            own.detach().copy_(tensor.detach())

    def ended(self) -> None:
        """Its memory may be used again."""
        self._busy_in = -1

    @property
    def without_gradient(self) -> list[bool]:
        """Of each output."""
        return [not wanted for wanted in self._wanted]


class _Replayed(torch.autograd.Function):
    """Replays a recording; what it returns is copied, because the next replay overwrites it."""

    @staticmethod
    def forward(ctx: Any, recording: RecordedPass, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.recording = recording
        recording.fill(tensors[: len(recording.inputs)])
        recording.replay_forward()
        outputs = tuple(output.clone() for output in recording.outputs if output is not None)
        ctx.mark_non_differentiable(
            *(output for output, fixed in zip(outputs, recording.without_gradient, strict=True) if fixed)
        )
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        recording: RecordedPass = ctx.recording
        given = [
            gradient
            for gradient, fixed in zip(gradients, recording.without_gradient, strict=True)
            if not fixed
        ]
        torch._foreach_copy_(recording.gradients, given)
        recording.replay_backward()
        static = [tensor for tensor in recording.learned if tensor is not None]
        copies = [torch.empty_like(tensor) for tensor in static]
        torch._foreach_copy_(copies, static)
        following = iter(copies)
        found = [None if tensor is None else next(following) for tensor in recording.learned]
        recording.ended()
        inputs = iter(found[: len(found) - len(recording.parameters)])
        of_inputs = [next(inputs) if tensor.requires_grad else None for tensor in recording.inputs]
        return (None, *of_inputs, *found[len(found) - len(recording.parameters) :])


def _twins(network: nn.Module) -> dict[nn.Parameter, nn.Parameter]:
    """Parameters that learn, each with another one of the same memory.

    A parameter in use by a pass on another stream would tie that stream to a recording, which ends it.
    """
    return {
        parameter: nn.Parameter(parameter.detach())
        for parameter in network.parameters()
        if parameter.requires_grad
    }


@contextmanager
def _in_place_of(twins: Mapping[nn.Parameter, nn.Parameter], network: nn.Module) -> Iterator[None]:
    """The network runs with other parameters of the same memory."""
    places = [
        (module._parameters, name, parameter)
        for module in network.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None and parameter in twins
    ]
    for own, name, parameter in places:
        own[name] = twins[parameter]
    try:
        yield
    finally:
        for own, name, parameter in places:
            own[name] = parameter


def _stream_of_recordings() -> torch.cuda.Stream:
    return _stream_on(torch.cuda.current_device())


@lru_cache
def _stream_on(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@contextmanager
def _aside(kind: str) -> Iterator[None]:
    """Runs on the stream of recordings, as what comes before one must.

    Workspaces of cuBLAS belong to a thread and a stream. One that a recorded backward pass needed first would
    lie where its activations were, and other backward passes would write there before it has read them.
    """
    if kind != "cuda":
        yield
        return
    torch.cuda.synchronize()
    stream = _stream_of_recordings()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()


@contextmanager
def _without_kept_casts(kind: str) -> Iterator[None]:
    """Autocast as it is, but no cast of a weight outlives the pass: a recording must contain it."""
    if not torch.is_autocast_enabled(kind):
        yield
        return
    with torch.autocast(kind, dtype=torch.get_autocast_dtype(kind), cache_enabled=False):
        yield
