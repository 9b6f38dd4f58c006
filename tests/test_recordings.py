"""Recorded passes give the numbers of eager ones; one that runs its work again stands in for CUDA graphs."""

import gc
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from models.encoders.psp_encoders import GradualStyleEncoder
from models.prepared import Prepared
from models.stylegan2.model import Generator
from utils.compilation import compile_networks
from utils.recorded_pass import next_step
from utils.recordings import LARGEST_NUMBER, RecordedForward

Work = Callable[[], Sequence[Tensor | None]]


class Repeater:
    """Runs the work again, into the memory of the first time."""

    made = 0

    def __call__(self, compute: Work) -> tuple[Sequence[Tensor | None], Callable[[], None]]:
        Repeater.made += 1
        first = [None if tensor is None else tensor.detach().clone() for tensor in compute()]

        def replay() -> None:
            for own, tensor in zip(first, compute(), strict=True):
                if own is not None and tensor is not None:
                    own.copy_(tensor.detach())

        return first, replay


def recorded(network: nn.Module) -> RecordedForward:
    """The network records from now on."""
    Repeater.made = 0
    network.forward = forward = RecordedForward(network, Repeater, "cpu", wanted_from=1)
    return forward


def small_encoder() -> GradualStyleEncoder:
    sizes = {"channels": (4, 4, 4, 4, 4), "units": (1, 1, 1, 1)}
    return GradualStyleEncoder(n_styles=4, input_size=32, style_dim=8, **sizes).double()


def test_encoder_and_frozen_generator_learn_the_same() -> None:
    """Over steps with two passes each, whose batch norm keeps statistics."""
    torch.manual_seed(0)
    encoder, generator = small_encoder(), Generator(8, 8, 1, channels={4: 4, 8: 4}).double()
    generator.requires_grad_(False)
    start = {name: value.clone() for name, value in encoder.state_dict().items()}
    x = torch.randn(3, 2, 2, 3, 32, 32, dtype=torch.float64)

    def train() -> dict[str, Tensor]:
        encoder.load_state_dict(start)
        optimizer = torch.optim.SGD(encoder.parameters(), 0.1)
        for photos in x:
            next_step()
            optimizer.zero_grad(set_to_none=True)
            for batch in photos:
                image, _ = generator([encoder(batch)], input_is_latent=True, randomize_noise=False)
                image.square().mean().backward()
            optimizer.step()
        return {name: value.clone() for name, value in encoder.state_dict().items()}

    expected = train()
    forward = recorded(encoder), recorded(generator)
    found = train()
    assert not any(each.failed for each in forward)
    assert Repeater.made == 4  # both networks, forward and backward, once
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_forms_of_frozen_weights_follow_when_these_change() -> None:
    """A recorded pass does not look whether they do: an average of learning weights is frozen, too."""
    torch.manual_seed(0)
    generator = Generator(8, 8, 1, channels={4: 4, 8: 4}).double().requires_grad_(False)
    other = Generator(8, 8, 1, channels={4: 4, 8: 4}).double()
    z, weights = torch.randn(2, 8, dtype=torch.float64), list(generator.parameters())

    def run() -> list[Tensor]:
        pictures = []
        for _ in range(5):
            pictures += [generator([z], randomize_noise=False)[0] for _ in range(2)]
            torch._foreach_lerp_(weights, [weight.detach() for weight in other.parameters()], 0.2)
        return pictures

    start = {name: value.clone() for name, value in generator.state_dict().items()}
    expected = run()
    generator.load_state_dict(start)
    recorded(generator)
    torch.testing.assert_close(run(), expected)
    assert Repeater.made == 2  # again when the weights had changed, and not once more


def test_a_recording_keeps_the_forms_of_weights_that_it_reads() -> None:
    """Another pass may replace them, and their memory would go to something else."""
    network = nn.Linear(3, 2).requires_grad_(False)
    prepared: Prepared[Tensor] = Prepared()
    seen: list[weakref.ref[Tensor]] = []

    def forward(x: Tensor, by: float) -> Tensor:
        form = prepared.of([network.weight], lambda: network.weight * by, by)
        seen.append(weakref.ref(form))
        return x @ form.t()

    network.forward = forward
    recorded(network)
    network(torch.randn(4, 3), by=2.0)
    network(torch.randn(4, 3), by=3.0)
    gc.collect()
    assert {float(form()[0, 0] / network.weight[0, 0]) for form in seen if form() is not None} == {2.0, 3.0}


def test_noise_that_is_given_is_followed() -> None:
    generator = Generator(8, 8, 1, channels={4: 4, 8: 4}).requires_grad_(False)
    with torch.no_grad():
        for layer in (generator.conv1, *generator.convs):
            layer.noise.weight.fill_(0.5)
    z = torch.randn(2, 8)
    noises = [generator.draw_noise(2) for _ in range(3)]
    expected = [generator([z], noise=noise)[0] for noise in noises]
    recorded(generator)
    torch.testing.assert_close([generator([z], noise=noise)[0] for noise in noises], expected)
    assert Repeater.made == 1


def test_weights_that_learn_and_freeze_in_turn_are_followed() -> None:
    torch.manual_seed(0)
    generator = Generator(8, 8, 1, channels={4: 4, 8: 4}).double()
    z = torch.randn(2, 8, dtype=torch.float64)
    start = {name: value.clone() for name, value in generator.state_dict().items()}

    def run() -> list[Tensor]:
        generator.load_state_dict(start)
        optimizer = torch.optim.Adam(generator.parameters(), 0.01, fused=True)
        pictures = []
        for _ in range(4):
            next_step()
            generator([z], randomize_noise=False)[0].square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            generator.requires_grad_(False)
            pictures.append(generator([z], randomize_noise=False)[0])
            generator.requires_grad_(True)
        return pictures

    expected = run()
    recorded(generator)
    torch.testing.assert_close(run(), expected)


def test_two_passes_before_a_backward_pass_have_memory_of_their_own() -> None:
    network = nn.Linear(3, 2)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    expected = torch.autograd.grad((network(a) * network(b)).sum(), list(network.parameters()))
    recorded(network)
    for _ in range(2):
        next_step()
        found = torch.autograd.grad((network(a) * network(b)).sum(), list(network.parameters()))
        torch.testing.assert_close(found, expected)
    assert Repeater.made == 4


def test_a_network_records_with_parameters_of_its_own() -> None:
    """Those in use elsewhere belong to another stream."""
    network = nn.Linear(3, 2)
    seen = []
    eager = network.forward

    def forward(x: Tensor) -> Tensor:
        seen.append(network.weight)
        return eager(x)

    network.forward = forward
    own = network.weight
    recorded(network)
    network(torch.randn(4, 3)).sum().backward()
    assert network.weight is own and own.grad is not None
    assert all(weight is not own and weight.data_ptr() == own.data_ptr() for weight in seen)


def test_a_pass_without_a_backward_pass_is_free_in_the_next_step() -> None:
    network = nn.Linear(3, 2)
    recorded(network)
    for _ in range(5):
        next_step()
        network(torch.randn(4, 3))
    assert Repeater.made == 2


def test_results_are_not_overwritten() -> None:
    network = nn.Linear(3, 2)
    recorded(network)
    with torch.no_grad():
        first, x = network(torch.ones(1, 3)), network.weight.sum(1) + network.bias
        network(torch.zeros(1, 3))
    torch.testing.assert_close(first[0], x)
    y = network(torch.ones(1, 3))
    y.sum().backward()
    kept = network.bias.grad.clone()
    network(torch.ones(1, 3)).mul(5).sum().backward()
    torch.testing.assert_close(network.bias.grad, 6 * kept)


def test_modes_gradients_shapes_and_arguments_have_recordings_of_their_own() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor, by: float = 1.0) -> Tensor:
            return super().forward(x) * by * (2 if self.training else 1)

    network = Scaled(3, 2)
    plain = Scaled(3, 2)
    plain.load_state_dict(network.state_dict())
    recorded(network)
    for by in (1.0, 2.0):
        for rows in (1, 2):
            for training in (True, False):
                for learns in (True, False):
                    x = torch.randn(rows, 3)
                    with torch.set_grad_enabled(learns):
                        found = network.train(training)(x, by=by)
                        expected = plain.train(training)(x, by=by)
                    torch.testing.assert_close(found, expected)
                    assert found.requires_grad == learns
                    next_step()


def test_gradients_of_inputs_and_frozen_weights() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).requires_grad_(False)
    x = torch.randn(4, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(network(x).square().sum(), x)
    recorded(network)
    torch.testing.assert_close(torch.autograd.grad(network(x).square().sum(), x)[0], expected)
    network[0].weight.requires_grad_(True)
    wanted = torch.autograd.grad(network(x).square().sum(), [network[0].weight, x])
    torch.testing.assert_close(wanted[1], expected)


def test_random_numbers_go_on_as_without_it() -> None:
    network = nn.Dropout(0.5)
    x = torch.ones(1000)
    torch.manual_seed(3)
    expected = [network(x) for _ in range(3)]
    recorded(network)
    torch.manual_seed(3)
    for wanted in expected:
        next_step()
        torch.testing.assert_close(network(x), wanted)


def test_what_cannot_be_recorded_runs_eagerly_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __call__(self, compute: Work) -> tuple[Sequence[Tensor | None], Callable[[], None]]:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    network = nn.Linear(3, 2)
    network.forward = RecordedForward(network, Broken, "cpu", wanted_from=1)
    x = torch.randn(4, 3)
    for _ in range(2):
        torch.testing.assert_close(network(x), x @ network.weight.t() + network.bias)
    assert capsys.readouterr().err.count("Linear cannot be recorded and runs eagerly: operation not") == 1


def test_only_shapes_that_come_again_are_recorded() -> None:
    Repeater.made = 0
    network = nn.Linear(3, 2)
    network.forward = RecordedForward(network, Repeater, "cpu")
    for number, recordings in enumerate([0, 0, 1, 1], start=1):
        with torch.no_grad():
            network(torch.randn(4, 3))
            network(torch.randn(4 + number, 3))
        assert Repeater.made == recordings


def test_many_shapes_do_not_fill_the_memory() -> None:
    network = nn.Linear(3, 2)
    recorded(network)
    for rows in range(1, LARGEST_NUMBER + 5):
        with torch.no_grad():
            assert network(torch.randn(rows, 3)).shape == (rows, 2)
    assert Repeater.made == LARGEST_NUMBER


def test_other_devices_are_left_alone() -> None:
    network = nn.Linear(3, 2)
    compile_networks([network], "graphs")
    assert network(torch.randn(4, 3)).shape == (4, 2)
    assert not network.forward.fast.failed


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_graphs_on_a_gpu(precision: torch.dtype) -> None:
    """Pictures, gradients and random numbers of an encoder and a generator, in several steps."""
    torch.manual_seed(0)
    device = torch.device("cuda")
    encoder = small_encoder().float().to(device)
    generator = Generator(8, 8, 1, channels={4: 4, 8: 4}).to(device).requires_grad_(False)
    generator.compute_dtype = precision
    x = torch.randn(4, 2, 3, 32, 32, device=device)

    def run() -> list[Tensor]:
        torch.manual_seed(5)
        found = []
        for photos in x:
            next_step()
            with torch.autocast("cuda", precision, enabled=precision != torch.float32):
                image, _ = generator([encoder(photos)], input_is_latent=True, randomize_noise=True)
            encoder.zero_grad(set_to_none=True)
            image.float().square().mean().backward()
            found += [image.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]
        return found

    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    expected = run()
    encoder.load_state_dict(state)
    compile_networks([encoder, generator], "graphs")
    found = run()
    assert not encoder.forward.fast.failed and not generator.forward.fast.failed
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
