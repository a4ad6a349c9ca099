"""Metrics against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from aesmamba_sdk.metrics import accuracy, plcc, srcc


def test_correlations_equal_scipys_with_and_without_ties():
    rng = np.random.default_rng(0)
    for digits in (0, 6):
        x, y = rng.normal(size=(2, 50)).round(digits)
        assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
        assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_constant_side_counts_as_no_correlation():
    assert srcc([1, 1, 1], [1, 2, 3]) == plcc([1, 2, 3], [2, 2, 2]) == 0.0


def test_what_is_no_number_has_no_rank():
    for values in ([1, np.nan, 3], [np.nan] * 3):
        assert np.isnan(srcc(values, [1, 2, 3]))
        assert np.isnan(srcc([1, 2, 3], values))


def test_no_photos_have_no_accuracy():
    assert np.isnan(accuracy([], [], threshold=3))


def test_accuracy_is_agreement_about_the_threshold():
    assert accuracy([2, 4, 3], [3.5, 5, 1], threshold=3) == pytest.approx(2 / 3)
