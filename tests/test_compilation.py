"""`--compile`: the same numbers, eager where it fails, eager inside where second derivatives are wanted."""

import pytest
import torch
from torch import nn

from models.encoders.psp_encoders import GradualStyleEncoder
from models.stylegan2.model import Generator
from utils.compilation import compile_networks, eagerly


def through(backend: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes another backend that of all modes; the usual one takes a minute a network."""
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, mode, dynamic: compile_(f, backend=backend, dynamic=dynamic)
    )
    torch._dynamo.reset()


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_on_a_processor_nothing_is_compiled_unless_it_is_asked_for(choice: str) -> None:
    network = nn.Linear(3, 2)
    compile_networks([network], choice)
    assert "forward" not in vars(network)


@pytest.mark.parametrize("deterministic", [False, True])
def test_on_a_gpu_passes_are_recorded_unless_runs_must_repeat(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.compilation._device_of", lambda network: torch.device("cuda"))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    network = nn.Linear(3, 2)
    compile_networks([network], "auto")
    assert ("forward" in vars(network)) != deterministic
    assert network(torch.randn(4, 3)).shape == (4, 2)


@pytest.mark.slow
def test_compiled_networks_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen generator, and an encoder that learns, up to its heads."""
    through("aot_eager", monkeypatch)
    generator = Generator(8, 8, 1, channels={4: 4, 8: 4}).double().requires_grad_(False)
    sizes = {"channels": (4, 4, 4, 4, 4), "units": (1, 1, 1, 1)}
    encoder = GradualStyleEncoder(n_styles=4, input_size=32, style_dim=8, **sizes).double().eval()
    learning = [parameter for name, parameter in encoder.named_parameters() if "latlayer2" not in name]
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def run() -> list[torch.Tensor]:
        image, _ = generator([encoder(x)], input_is_latent=True, randomize_noise=False)
        return [image, *torch.autograd.grad(image.square().sum(), learning)]

    expected = run()
    names = list(generator.state_dict()) + list(encoder.state_dict())
    compile_networks([generator, encoder, encoder], "default")
    torch.testing.assert_close(run(), expected)
    assert not encoder.forward.failed and not generator.forward.failed
    assert list(generator.state_dict()) + list(encoder.state_dict()) == names


def test_a_network_that_cannot_be_compiled_runs_eagerly_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise RuntimeError("no compiler here")

    through(broken, monkeypatch)
    network = nn.Linear(3, 2)
    compile_networks([network], "default")
    x = torch.randn(4, 3)
    for _ in range(2):
        torch.testing.assert_close(network(x), x @ network.weight.t() + network.bias)
    said = capsys.readouterr().err
    assert said.count("Linear runs without it") == 1 and "no compiler here" in said


def test_second_derivatives_run_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    through("aot_eager", monkeypatch)
    network = nn.Linear(3, 1)
    compile_networks([network], "default")
    x = torch.randn(4, 3, requires_grad=True)
    with eagerly():
        (gradient,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert network.weight.grad is not None and bool(network.weight.grad.any())
