"""Age groups: what belongs to which, what lies between them, and ranges that make no groups."""

import pytest

from utils.age_groups import AgeGroups, decades, parse_age_groups
from utils.errors import InputError


def test_every_year_of_the_decades_has_its_group() -> None:
    groups = decades()
    assert str(groups) == "0-10,11-20,21-30,31-40,41-50,51-60,61-70,71-80,81-90,91-100"
    for year in range(101):
        first, last = groups.bounds[groups.index(year)]
        assert first <= year <= last and groups.index(year + 0.7) == groups.index(year)


def test_gaps_belong_to_no_group() -> None:
    groups = parse_age_groups("0-2, 3-6,30-39")
    assert [groups.index(age) for age in (0, 2.9, 3, 6, 7, 29.9, 30, 40)] == [0, 0, 1, 1, None, None, 2, None]
    assert parse_age_groups("5-9").index(4) is None


def test_an_age_between_two_centres_is_a_mixture() -> None:
    groups = AgeGroups(((0, 10), (11, 20), (31, 40)))
    assert groups.centres == [5.0, 15.5, 35.5]
    assert groups.weights(0) == groups.weights(5) == [1, 0, 0]
    assert groups.weights(25.5) == pytest.approx([0, 0.5, 0.5])
    assert groups.weights(7.1) == pytest.approx([0.8, 0.2, 0])
    assert groups.weights(35.5) == groups.weights(100) == [0, 0, 1]
    for age in range(101):
        assert sum(decades().weights(age)) == pytest.approx(1)


def test_groups_with_a_name() -> None:
    assert parse_age_groups("decades") == decades() and len(parse_age_groups("ffhq_aging")) == 10
    lats = parse_age_groups(" lats ")
    assert lats.names == ["0-2", "3-6", "7-9", "15-19", "30-39", "50-69"] and lats.index(25) is None
    assert set(lats.bounds) < set(parse_age_groups("ffhq_aging").bounds)


@pytest.mark.parametrize(
    "text", ["", "0-10,", "10", "10-0", "0-10,10-20", "20-30,0-10", "91-101", "0-10;11-20", "-5-3", "a-b"]
)
def test_ranges_that_make_no_groups(text: str) -> None:
    with pytest.raises(InputError, match=r"age group|year"):
        parse_age_groups(text)
