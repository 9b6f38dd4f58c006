"""Running averages of weights, and the learning rate's way down."""

import torch
from torch import nn

from training.averaging import update_average
from training.optimizers import cosine_share


def test_average_moves_weights_and_statistics_and_copies_counters():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    averaged = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network(torch.randn(8, 2))
    old = {key: value.clone() for key, value in averaged.state_dict().items()}
    update_average(averaged, network, 0.75)
    for key, value in averaged.state_dict().items():
        new = network.state_dict()[key]
        expected = old[key].lerp(new, 0.25) if value.is_floating_point() else new
        torch.testing.assert_close(value, expected)
    assert averaged[1].num_batches_tracked == 1


def test_cosine_share():
    assert cosine_share(0, 100) == 1
    assert abs(cosine_share(50, 100) - 0.5) < 1e-12
    assert cosine_share(100, 100) < 1e-12 and cosine_share(130, 100) < 1e-12
    assert cosine_share(0, 100, warm_up=10) == 0.1
    shares = [cosine_share(step, 100) for step in range(101)]
    assert shares == sorted(shares, reverse=True)
