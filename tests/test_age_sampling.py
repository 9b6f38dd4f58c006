"""Target ages, age weights, neighbour windows: official draws by number, repaired ones by distribution."""

import math

import numpy as np
import pytest
import torch

import parity
from criteria import age_sampling
from utils.errors import InputError


@parity.each("age_sampling", "numpy_seed")
def test_official_draws(entry):
    args = entry["args"]
    random = np.random.RandomState(args["numpy_seed"])
    expected = entry["outputs"]["ages"]
    ages = [age_sampling.official_age(args["target_age"], args["range"], random) for _ in expected]
    assert ages == expected


@parity.each("age_sampling", "training_ages")
def test_official_range_and_window(entry):
    ages, expected = entry["args"]["training_ages"], entry["outputs"]
    assert age_sampling.training_age_range(ages, official=True) == (
        expected["train_min_age"],
        expected["train_max_age"],
    )
    for case in expected["cases"]:
        target = round(100 * case["target"], 6)
        window = age_sampling.neighbour_window(target, ages, official=True)
        assert age_sampling.closest_age(target, ages, official=True) / 100 == case["closest_age"]
        assert sorted({ages[index] / 100 for index in window}) == case["window_ages"]
        assert len(window) == case["n_references"]


@pytest.mark.parametrize(
    ("ages", "target", "closest", "window"),
    [
        ([18.0, 21.0, 24.0, 29.0, 57.0], 22.5, 21.0, [18.0, 21.0, 24.0]),
        ([41.0, 47.0], 44.0, 41.0, [41.0]),
    ],
)
def test_official_near_ties_fall_as_the_float32_of_the_age_plane_does(ages, target, closest, window):
    assert age_sampling.closest_age(target, ages, official=True) == closest
    assert [ages[i] for i in age_sampling.neighbour_window(target, ages, official=True)] == window


def test_repaired_range_and_window():
    assert age_sampling.training_age_range([58, 29.5, 30]) == (29.5, 58)
    assert age_sampling.neighbour_window(30, [30, 30, 33, 36, 41]) == [0, 1, 2]
    assert age_sampling.neighbour_window(36, [30, 30, 33, 36, 41]) == [2, 3]
    assert age_sampling.neighbour_window(70, [12.0]) == [0]
    with pytest.raises(InputError, match="no training photo has an age"):
        age_sampling.training_age_range([])


@parity.each("small_losses", "age_diffs")
def test_cosine_weights(entry):
    years = 100 * parity.inputs(entry)["age_diffs"]
    weights = age_sampling.cosine_weight(years)
    # the official code also has 0.5 + 0.5 cos(pi d / 100 - pi), which no loss uses
    parity.check_all({"weights": weights, "reverse": 2 - 2 * weights}, entry)


def test_distance_to_range():
    distance = age_sampling.distance_to_range(torch.tensor([12.0, 91.0, 33.0]), (30, 60))
    assert distance.tolist() == [18, 31, 3]


def drawn(mode, age_range, count=6000):
    generator = torch.Generator().manual_seed(3)
    return age_sampling.draw_target_ages(mode, torch.zeros(count), age_range, generator)


def test_interpolation_reaches_both_ends_evenly():
    ages = drawn("interpolation", (30.0, 39.0))
    years, counts = ages.unique(return_counts=True)
    assert years.tolist() == list(range(30, 40))
    assert counts.min() > 500 and counts.max() < 700


def test_extrapolation_sides_count_by_their_width():
    ages = drawn("extrapolation", (10.0, 70.0))
    assert ages.min() == 0 and ages.max() == 100
    assert not ((ages >= 10) & (ages <= 70)).any()
    assert (ages < 10).float().mean() == pytest.approx(10 / 40, abs=0.02)


@pytest.mark.parametrize(
    ("mode", "age_range", "expected"),
    [
        ("interpolation", (40.0, 40.0), {40.0}),
        ("interpolation", (41.5, 41.5), {41.5}),
        ("extrapolation", (0.0, 98.0), {99.0, 100.0}),
        ("extrapolation", (2.0, 100.0), {0.0, 1.0}),
        ("extrapolation", (0.0, 100.0), set(map(float, range(101)))),
    ],
)
def test_degenerate_ranges_are_drawn_from(mode, age_range, expected):
    assert set(drawn(mode, age_range).tolist()) == expected


def test_no_extrapolation_where_nothing_lies_outside():
    generator = torch.Generator().manual_seed(0)
    modes = {age_sampling.draw_mode(generator, (0.0, 100.0)) for _ in range(50)}
    assert modes == {"no_aging", "interpolation"}


def test_official_recipe_names_the_range_it_cannot_draw_from():
    random = np.random.RandomState(0)
    ages = torch.tensor([40.0])
    with pytest.raises(InputError, match="--recipe=corrected"):
        age_sampling.official_target_ages("interpolation", ages, (40, 40), random)
    with pytest.raises(InputError, match="--recipe=corrected"):
        age_sampling.official_target_ages("extrapolation", ages, (0, 40), random)


def test_modes_are_equally_likely_and_no_aging_keeps_the_ages():
    generator = torch.Generator().manual_seed(1)
    modes = [age_sampling.draw_mode(generator, (20.0, 60.0)) for _ in range(3000)]
    for mode in age_sampling.MODES:
        assert modes.count(mode) / 3000 == pytest.approx(1 / 3, abs=0.04)
    share = sum(age_sampling.draw_no_aging(generator) for _ in range(3000)) / 3000
    assert share == pytest.approx(1 / 3, abs=0.04)
    ages = torch.tensor([33.5, 60.0])
    assert torch.equal(age_sampling.draw_target_ages("no_aging", ages, (20.0, 60.0), generator), ages)


def test_uniform_ages_reach_0_and_100_and_repeat_with_the_seed():
    ages = age_sampling.draw_uniform_ages(5000, torch.Generator().manual_seed(5))
    again = age_sampling.draw_uniform_ages(5000, torch.Generator().manual_seed(5))
    assert (ages.min(), ages.max()) == (0, 100)
    assert math.isclose(ages.mean(), 50, abs_tol=1.5)
    assert torch.equal(ages, again)
