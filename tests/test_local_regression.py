"""What is seen in photos of each age."""

import torch

from utils.local_regression import by_whole_year


def test_a_line_comes_back_and_nothing_falls() -> None:
    ages = torch.linspace(5, 80, 300).double()
    noise = torch.randn(300, generator=torch.Generator().manual_seed(1)).double()
    found = by_whole_year(ages, torch.stack([20 + 0.5 * ages + noise, 90 - ages]))
    line = 20 + 0.5 * torch.arange(101)
    assert (found[0] - line)[5:80].abs().max() < 1
    assert (found[0] - line).abs().max() < 8  # also where no photo is
    assert (found.diff(dim=1) >= 0).all() and found.min() >= 0 and found.max() <= 100
