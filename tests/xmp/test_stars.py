"""Scores to stars."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.xmp.stars import star_giver


def by_rank(values, bounds=None):
    return [*map(star_giver("quantiles", values, bounds), values)]


def test_quantiles_share_the_stars_out():
    values = np.random.default_rng(0).normal(3, 0.4, 1000).tolist()
    stars = by_rank(values)
    assert Counter(stars) == {1: 100, 2: 200, 3: 400, 4: 200, 5: 100}
    assert sorted(zip(values, stars, strict=True)) == sorted(
        zip(sorted(values), sorted(stars), strict=True)
    ), "a better score has no fewer stars"


def test_equal_scores_get_equal_stars_and_one_photo_is_average():
    assert by_rank([2.0] * 7) == [3] * 7
    assert by_rank([1.0, 3.0, 3.0, 3.0]) == [2, 3, 3, 3]
    assert by_rank([1.0, 2.0], (25, 50, 75, 80)) == [2, 4]


def test_cuts_round_to_the_nearest_star_unless_told_otherwise():
    values = (1.0, 1.49, 1.5, 2.6, 4.4, 4.5, 5.0)
    assert [*map(star_giver("cuts", ()), values)] == [1, 1, 2, 3, 4, 5, 5]
    assert star_giver("cuts", (), (2, 2.5, 3, 3.5))(3.0) == 4


@pytest.mark.parametrize("bounds", [(1, 2, 3), (1, 2, 2, 3), (1, 2, 3, float("nan"))])
def test_bounds_that_make_no_sense_are_refused(bounds):
    with pytest.raises(XmpError, match="four ascending numbers"):
        star_giver("cuts", (), bounds)


@pytest.mark.parametrize("bounds", [(-10, 30, 70, 90), (10, 30, 70, 900)])
def test_bounds_of_quantiles_are_percentages(bounds):
    with pytest.raises(XmpError, match="from 0 to 100"):
        star_giver("quantiles", (), bounds)
