"""Distance of codes from those of photos, in standard deviations."""

import pytest
import torch

from criteria.code_spread import CodeSpread
from models.stylegan2.shared_latent import principal_components

DEVIATIONS = torch.tensor([4.0, 2.0, 1.0, 0.1, 0.1, 0.1])


def photo_codes(count: int = 4000) -> torch.Tensor:
    """(N, 2, 3) codes around 5 with a known deviation in each entry."""
    draws = torch.Generator().manual_seed(1)
    return 5 + (torch.randn(count, 6, generator=draws) * DEVIATIONS).view(count, 2, 3)


def test_is_one_on_average_for_the_photos_themselves() -> None:
    codes = photo_codes()
    value = CodeSpread(codes, components=6)(codes)
    assert value.shape == (len(codes),)
    assert value.mean().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("entry", range(6))
def test_a_step_is_as_long_as_the_photos_make_it(entry: int) -> None:
    code = torch.full((1, 6), 5.0)
    code[0, entry] += 3 * DEVIATIONS[entry]
    value = CodeSpread(photo_codes(), components=6)(code.view(1, 2, 3))
    assert value.item() == pytest.approx(3**2 / 6, rel=0.1)


def test_directions_beyond_the_components_count_like_the_last() -> None:
    code = torch.full((1, 6), 5.0)
    code[0, 5] += 2.0  # twenty deviations of that entry, two of the third component
    value = CodeSpread(photo_codes(), components=3)(code.view(1, 2, 3))
    assert value.item() == pytest.approx(2**2 / 3, rel=0.1)


def test_gradient_leads_back_to_the_photos() -> None:
    spread = CodeSpread(photo_codes(), components=4)
    code = (spread.mean + 3).unsqueeze(0).requires_grad_(True)
    (gradient,) = torch.autograd.grad(spread(code).sum(), code)
    with torch.no_grad():
        assert spread(code - 0.01 * gradient) < spread(code)


def test_fewer_codes_than_entries_have_the_same_components() -> None:
    codes = photo_codes(5).double()
    mean, components = principal_components(codes, 4)
    rows = (codes - codes.mean(0)).flatten(1)
    flat = components.flatten(0, 1)
    torch.testing.assert_close(flat @ flat.t(), rows.t() @ rows / 5)  # four components span five codes
    assert mean.shape == (2, 3) and components.shape == (2, 3, 4)
    norms = flat.norm(dim=0)
    assert (norms[:-1] >= norms[1:]).all()
