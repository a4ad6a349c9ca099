"""Pictures show what they are given: every group its ink."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate.figures import bar_chart, box_plot, scatter_plot
from aesmamba_sdk.evaluate.statistics import Runs

BLUE, ORANGE, GREEN = (31, 119, 180), (255, 127, 14), (44, 160, 44)


def ink(file, color):
    """Pixels of a colour, and the mean column and row they lie in."""
    with Image.open(file) as image:
        rows, columns = np.nonzero((np.asarray(image.convert("RGB")) == color).all(2))
    return len(rows), columns.mean(), rows.mean()


def test_a_higher_bar_has_more_ink_and_series_lie_beside_each_other(tmp_path):
    file = tmp_path / "made" / "bars.png"
    series = {"A": [Runs(0.2, 0.01, 3)], "B": [Runs(0.6, 0.02, 3)]}
    bar_chart(file, ["SRCC"], series, "figure")
    (small, left, _), (large, right, _) = ink(file, BLUE), ink(file, ORANGE)
    assert 2.5 * small < large < 3.5 * small
    assert left < right


def test_points_lie_where_they_are(tmp_path):
    low, high = [(0, -1), (10, -1)], [(0, 1), (10, 1)]
    scatter_plot(tmp_path / "points.png", {"low": low, "high": high}, "share", "change")
    assert ink(tmp_path / "points.png", BLUE)[2] > ink(tmp_path / "points.png", ORANGE)[2]


def test_a_series_of_one_point_has_no_line(tmp_path):
    scatter_plot(tmp_path / "point.png", {"one": [(1, 2)], "none": []}, "share", "change")
    assert ink(tmp_path / "point.png", BLUE)[0] > 10


def test_every_group_has_its_box(tmp_path):
    values = np.random.default_rng(0).normal(size=30).tolist()
    box_plot(tmp_path / "one.png", {"a": values}, "SRCC")
    box_plot(tmp_path / "two.png", {"a": values, "b": values}, "SRCC")
    one, two = (ink(tmp_path / f"{name}.png", GREEN)[0] for name in ("one", "two"))
    assert two == pytest.approx(2 * one, rel=0.3), "a triangle marks each mean"


def test_without_matplotlib_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SetupError, match=r"aesmamba-sdk\[train\]"):
        box_plot(tmp_path / "box.png", {"a": [1.0]}, "SRCC")
