"""Steps in parts: the gradients, figures and draws of the undivided step."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import training_toys as toys
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from criteria.gan_losses import PathLengthPenalty
from training.accumulation import joined, mean_of, split
from training.coach import Coach
from utils.errors import InputError

ADVERSARY = ("--adversarial_lambda=0.1", "--discriminator_every=1", "--r1=10")
# Of each kind of coach: flags, steps, and how near the gradients come to those of the whole batch.
CASES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "sam": ("sam", (), 3),
    "sam in the mode of the paper": ("sam", ("--recipe=official",), 3),
    "sam against a discriminator": ("sam", (*ADVERSARY, "--w_norm_metric=photos"), 2),
    "mytimemachine": ("mytimemachine", (), 6),
    "mytimemachine as published": ("mytimemachine", ("--recipe=official",), 6),
    "psp with its generator": ("psp", (*ADVERSARY, "--train_decoder", "--w_norm_lambda=0.1"), 2),
    "stylegan2": ("stylegan2", ("--d_reg_every=2", "--g_reg_every=1", "--augment_p=0"), 3),
    "reaging_gan": ("reaging_gan", ("--d_reg_every=2",), 3),
    "age classifier": ("age_classifier", (), 2),
    "identity": ("identity", (), 2),
}


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch decides about in train mode: norms by their running statistics, and no dropout."""
    monkeypatch.setattr(_BatchNorm, "train", lambda self, mode=True: nn.Module.train(self, False))
    monkeypatch.setattr("torch.nn.functional.dropout", lambda x, *_: x)


def gradients(trainer: Coach[Any], steps: int) -> Iterator[tuple[dict[str, Tensor], list[Tensor]]]:
    """Figures and all gradients of some steps that change nothing."""
    seen: list[Tensor] = []
    for optimizer in trainer.state.optimizers.values():
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: seen.extend(
                p.grad.clone()
                for group in optimizer.param_groups
                for p in group["params"]
                if p.grad is not None
            )
        )
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    for _ in range(steps):
        yield trainer.training_step(), list(seen)
        seen.clear()
        trainer.state.step += 1
    trainer.run.close()


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("case", CASES)
def test_a_step_in_parts_equals_the_whole_one(case: str, files: SimpleNamespace, tmp_path: Path) -> None:
    coach, flags, steps = CASES[case]
    size = 8 if coach == "stylegan2" or "--r1=10" in flags else 4
    runs = []
    for parts in (1, 2):
        more = (f"--batch_size={size}", f"--gradient_accumulation_steps={parts}", *flags)
        trainer = toys.coach(toys.arguments(coach, files, tmp_path / str(parts), *more))
        runs.append(list(gradients(trainer, steps)))
    for (figures, whole), (other_figures, in_parts) in zip(*runs, strict=True):
        assert figures.keys() == other_figures.keys() and len(whole) == len(in_parts) > 0
        for name, value in figures.items():
            torch.testing.assert_close(other_figures[name], value, rtol=1e-4, atol=1e-6, msg=name)
        assert any(gradient.any() for gradient in whole)
        for one, other in zip(whole, in_parts, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=3e-4 * float(one.abs().max()) + 1e-9)


def test_parts_hold_every_so_many_th_picture_in_the_layout_of_the_whole() -> None:
    images = torch.randn(6, 3, 4, 4).to(memory_format=torch.channels_last)
    batch = {"image": images, "noise": {"real": [torch.arange(6)]}, "index": None}
    parts = split(batch, 3)
    assert [part["noise"]["real"][0].tolist() for part in parts] == [[0, 3], [1, 4], [2, 5]]
    assert all(part["image"].is_contiguous(memory_format=torch.channels_last) for part in parts)
    assert torch.equal(joined([part["image"] for part in parts]), images)
    assert len(split({"image": images[:2]}, 4)) == 2  # no part without pictures
    assert split(batch, 1)[0]["image"] is images
    assert float(mean_of([{"a": torch.tensor(1.0)}, {"a": torch.tensor(4.0)}])["a"]) == 2.5


def test_the_path_length_penalty_of_known_lengths_is_that_of_pictures() -> None:
    torch.manual_seed(0)
    latents = torch.randn(4, 3, 8, requires_grad=True)
    images = latents.sin().sum((1, 2))[:, None, None, None] * torch.ones(4, 3, 4, 4)
    noise = torch.randn(4, 3, 4, 4)
    one, other = PathLengthPenalty(), PathLengthPenalty()
    penalty, lengths = one(images, latents, noise)
    torch.testing.assert_close(other.of(lengths), penalty.detach())
    assert torch.equal(one.mean_path_length, other.mean_path_length) and float(other.mean_path_length) > 0


@pytest.mark.parametrize(
    ("coach", "flags", "message"),
    [
        ("sam", ("--batch_size=6", "--gradient_accumulation_steps=4"), "use a multiple of 4"),
        ("stylegan2", ("--batch_size=12", "--gradient_accumulation_steps=2"), "in 2 parts of 6: the discr"),
        ("identity", ("--batch_size=4", "--gradient_accumulation_steps=4"), "at least two pictures a part"),
    ],
)
def test_batches_that_cannot_be_divided_are_refused(
    coach: str, flags: tuple[str, ...], message: str, files: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        toys.coach(toys.arguments(coach, files, tmp_path, *flags))


def test_processes_divide_their_own_share(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("training.coach.join", lambda device: None)
    more = ("--batch_size=4", "--gradient_accumulation_steps=4")
    with pytest.raises(InputError, match="in 4 equal parts in each of 2 processes .*use a multiple of 8"):
        toys.coach(toys.arguments("sam", files, tmp_path, *more))
