"""The MyTimeMachine adapter against the official layout, values and gradients."""

import pytest
import torch

import parity
from models.blender import Blender, BlenderConfig


def test_layout_is_official() -> None:
    parity.check_layout(Blender().state_dict(), "mytimemachine_personalised", prefix="blender.")
    assert list(Blender().state_dict()) == [
        key.removeprefix("blender.")
        for key in parity.layout("mytimemachine_personalised")
        if key.startswith("blender.")
    ]


def test_size_is_the_published_one() -> None:
    assert sum(parameter.numel() for parameter in Blender().parameters()) == 11_187_888


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@parity.each("small_losses", "global_styles")
def test_values_and_gradients_are_official(entry: parity.Entry, dtype: torch.dtype) -> None:
    inputs = parity.inputs(entry, dtype)
    codes = inputs["global_styles"].requires_grad_()
    blender = parity.fill(Blender(*codes.shape[1:]), entry).to(dtype)
    styles = blender(codes, inputs["target_ages"])
    (styles * torch.linspace(-1, 1, styles.numel(), dtype=dtype).view_as(styles)).sum().backward()
    results = {f"grad/{name}": weight.grad for name, weight in blender.named_parameters()}
    results |= {"styles": styles, "grad/global_styles": codes.grad}
    parity.check_all(results, entry, float64=dtype == torch.float64)


def test_zero_init_is_the_identity_and_still_learns() -> None:
    blender = Blender(6, 20, BlenderConfig(hidden=12))
    codes, ages = torch.randn(3, 6, 20), torch.tensor([0.0, 0.3, 1.0])
    assert torch.equal(blender(codes, ages), codes)
    optimiser = torch.optim.SGD(blender.parameters(), lr=0.1)
    for _ in range(2):
        blender(codes, ages).sum().backward()
        optimiser.step()
    assert not torch.equal(blender(codes, ages), codes)
    assert not torch.equal(blender(codes, ages), blender(codes, 1 - ages))


def test_official_start_moves_the_codes() -> None:
    codes = torch.randn(2, 6, 20)
    blender = Blender(6, 20, BlenderConfig(zero_init=False))
    assert not torch.equal(blender(codes, torch.tensor([0.2, 0.4])), codes)


def test_config_round_trip() -> None:
    config = BlenderConfig(bottleneck=8, global_dim=16, hidden=24)
    assert BlenderConfig.from_dict(config.to_dict()) == config
    blender = Blender(4, 10, config)
    assert blender.get_parameter("fc_3.0.weight").shape == (24, 16 + 16 + 10)
    assert torch.count_nonzero(blender.get_parameter("fc_3.2.weight")) == 0
