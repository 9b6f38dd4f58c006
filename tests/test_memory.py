"""Memory of a training: activations that are computed again, and the forecast of what a step needs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from torch import Tensor, nn

from models.recomputation import recomputed
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from training.memory_tracker import MemoryTracker

WIDE = StyleGAN2Config(size=64, style_dim=8, n_mlp=1, channels={4: 8, 8: 8, 16: 8, 32: 8, 64: 8})

# ---------------------------------------------------------------- activations computed again


@pytest.mark.parametrize(
    ("coach", "flags"),
    [
        ("sam", ("--adversarial_lambda=0.1", "--recipe=official")),
        ("psp", ("--train_decoder",)),
        ("mytimemachine", ()),
        ("stylegan2", ("--d_reg_every=2", "--g_reg_every=2")),
    ],
)
def test_activations_computed_again_change_no_bit(
    coach: str, flags: tuple[str, ...], files: SimpleNamespace, tmp_path: Path
) -> None:
    """Weights, statistics of norms, moments and random numbers after some steps."""
    ends = []
    for more in ((), ("--activation_checkpointing",)):
        trainer = toys.coach(toys.arguments(coach, files, tmp_path / f"{len(more)}", *flags, *more))
        figures = []
        for _ in range(3):
            figures.append(trainer.training_step())
            trainer.state.step += 1
        ends.append((figures, trainer.state.content()))
        trainer.run.close()
    assert ends[0][0] == ends[1][0]
    plain, again = (list(_tensors(end[1])) for end in ends)
    assert len(plain) > 10 and all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def _tensors(content: object) -> list[Tensor]:
    from training.guard import _tensors

    return list(_tensors(content))


def test_norms_count_a_batch_once() -> None:
    torch.manual_seed(0)
    unit = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    recomputed(unit, x).square().sum().backward()
    assert int(unit[1].num_batches_tracked) == 1
    assert float(unit[1].running_mean.abs().max()) > 0
    with torch.no_grad():
        assert not recomputed(unit, x).requires_grad


def test_levels_computed_again_hold_less() -> None:
    def peak(again: bool) -> int:
        torch.manual_seed(0)
        generator, discriminator = Generator.from_config(WIDE), Discriminator.from_config(WIDE)
        if again:
            generator.recompute_activations()
            discriminator.recompute_activations()
        latent = torch.randn(4, WIDE.n_styles, 8, requires_grad=True)
        with MemoryTracker() as tracker:
            discriminator(generator([latent], input_is_latent=True)[0]).sum().backward()
        return tracker.peak

    assert peak(True) < 0.75 * peak(False)
