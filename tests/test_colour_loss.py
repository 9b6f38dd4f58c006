"""The colour term: hues of the inner face, brightness apart."""

import pytest
import torch

from criteria.colour_loss import chroma, colour, neutrality
from criteria.objective import Measures, Pass, Targets


def loss_of(made: torch.Tensor, photo: torch.Tensor) -> float:
    return float(colour(Measures(), Pass(made, Targets(photo), torch.zeros(1, 1, 1))))


def test_brightness_is_free_and_green_is_not() -> None:
    photo = torch.rand(1, 3, 32, 32) - 0.5
    assert loss_of(photo - 0.4, photo) == pytest.approx(0, abs=1e-10)
    green = photo.clone()
    green[:, 1, 14:18, 14:18] += 0.3
    assert loss_of(green, photo) > 1e-4
    border = photo.clone()
    border[:, 1, :1] += 0.3  # outside the inner face
    assert loss_of(border, photo) == 0


def test_grey_has_no_chroma() -> None:
    assert chroma(torch.full((1, 3, 2, 2), 0.3)).abs().max() < 1e-7
    red, yellow = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0]])[..., None, None].split(1)
    assert chroma(red).flatten().tolist() == [1, 0.5] and chroma(yellow).flatten().tolist() == [0, 0.5]


def test_white_teeth_weigh_more_than_skin() -> None:
    """The same tint on a few light grey pixels and on as many of skin."""
    photo = torch.tensor([0.5, 0.0, -0.3])[:, None, None].repeat(1, 64, 64)[None]
    photo[:, :, 40:44, 26:38] = 0.8
    teeth, skin = photo.clone(), photo.clone()
    teeth[:, 1, 40:44, 26:38] += 0.15
    skin[:, 1, 30:34, 26:38] += 0.15
    assert loss_of(teeth, photo) > 20 * loss_of(skin, photo)
    weights = neutrality(photo)
    assert weights.shape == (1, 1, 64, 64) and float(weights[0, 0, 42, 30]) == pytest.approx(0.9)
    assert float(weights[0, 0, 10, 10]) < 0.01


def test_a_face_without_white_is_hardly_held() -> None:
    skin = torch.tensor([0.5, 0.0, -0.3])[:, None, None].repeat(1, 64, 64)[None]
    tinted = skin.clone()
    tinted[:, 1] += 0.15
    change = (chroma(tinted) - chroma(skin)).square().sum(1).mean()
    assert loss_of(tinted, skin) < 0.1 * float(change)
