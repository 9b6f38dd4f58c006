"""A StyleGAN2 discriminator of age groups beside the training of an encoder."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from toy_networks import TINY_GENERATOR

from models.stylegan2.aged_discriminator import AgedDiscriminator
from models.stylegan2.model import Discriminator
from utils.age_groups import parse_age_groups
from utils.errors import InputError

BESIDE = ("--adversarial_lambda=0.1", "--second_discriminator={}", "--second_discriminator_share=0.5")


def test_it_judges_ages_on_pictures_of_any_size() -> None:
    discriminator = Discriminator(16, channels=TINY_GENERATOR.channels, c_dim=2)
    judge = AgedDiscriminator(discriminator, parse_age_groups("0-39,40-100"))
    images = torch.rand(1, 3, 16, 16).repeat(2, 1, 1, 1)
    young, old = judge(images, torch.tensor([39.9, 40.0]))
    assert not torch.equal(young, old)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(judge(large, torch.tensor([10.0, 90.0])), torch.stack([young, old]))
    plain = AgedDiscriminator(Discriminator(16, channels=TINY_GENERATOR.channels), None)
    assert torch.equal(plain(images, torch.tensor([1.0, 99.0])), plain(images))


def test_it_trains_beside_the_first_and_goes_on_exactly(files: SimpleNamespace, tmp_path: Path) -> None:
    more = [text.format(files.conditional) for text in BESIDE]
    more += ["--age_balance=0.5", f"--further_age_classifiers={files.age_classifier}", "--max_steps=4"]
    whole, parts = (toys.arguments("sam", files, tmp_path / name, *more) for name in ("whole", "parts"))
    toys.train(whole)
    toys.train([*parts, "--max_steps=2"])
    toys.train(parts)
    states = [
        torch.load(tmp_path / name / "checkpoints" / "resume_state.pt", weights_only=True)
        for name in ("whole", "parts")
    ]
    found, wanted = (state["networks"]["second_discriminator"] for state in states)
    start = toys.load_checkpoint(files.conditional)["d"]
    for key, value in start.items():
        torch.testing.assert_close(found[f"discriminator.{key}"], wanted[f"discriminator.{key}"])
        if key == "final_conv.0.weight":
            assert not torch.equal(found[f"discriminator.{key}"], value)
    assert len(toys.scalars(tmp_path / "whole", "train/second_d_loss")) == 4


@pytest.mark.parametrize(
    ("coach", "more", "message"),
    [
        ("sam", ["--second_discriminator={conditional}"], "judges nothing without --adversarial_lambda"),
        (
            "psp",
            ["--adversarial_lambda=1", "--second_discriminator={conditional}"],
            "--coach=psp has none of",
        ),
        (
            "sam",
            ["--adversarial_lambda=1", "--second_discriminator={sam}"],
            "sam.pt is a SAM checkpoint, not a",
        ),
        ("sam", ["--adversarial_lambda=1", "--second_discriminator=gone.pt"], "second_discriminator=gone.pt"),
    ],
)
def test_what_cannot_judge(
    coach: str, more: list[str], message: str, files: SimpleNamespace, tmp_path: Path
) -> None:
    more = [text.format(**vars(files)) for text in more]
    with pytest.raises(InputError, match=message):
        toys.train(toys.arguments(coach, files, tmp_path, "--max_steps=1", *more))
