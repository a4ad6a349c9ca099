"""Tables as people, pages and programs read them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from aesmamba_sdk.evaluate.report import Bar, Result, Table, text
from aesmamba_sdk.evaluate.statistics import Estimate, Runs


@pytest.fixture
def result():
    table = Table("Ranks [bold]", ("who", "SRCC"), decimals=3, notes=["One seed."])
    table.add("art", Estimate(0.62349, 0.5561, 0.68))
    table.add("mean", 0.5)
    bars = [Bar("SRCC", 0.62349, 0.74), Bar("|error|", -0.02, 0.05, "at most"), Bar("gain", 0, 0)]
    return Result("giaa", [table], bars, {"model": "toy@1", "seed": 42})


@pytest.mark.parametrize(
    ("cell", "decimals", "expected"),
    [
        (0.01234, None, "0.0123"),
        (1234.5, None, "1234"),
        (-0.0001, 3, "0.000"),
        (-0.02, 3, "-0.020"),
        (Estimate(0.5, -0.1, 0.75), 2, "0.50 [-0.10, 0.75]"),
        (Runs(0.707, 0.0049, 10), 3, "0.707 ± 0.005"),
        (Runs(0.707, 0.0, 1), 3, "0.707"),
        (7, 3, "7"),
        (None, 3, ""),
    ],
)
def test_cells_are_rounded_as_people_read_them(cell, decimals, expected):
    assert text(cell, decimals) == expected


def test_markdown_has_every_table_and_the_bars(result):
    lines = result.markdown().splitlines()
    assert lines[0] == "model toy@1, seed 42"
    assert "| who | SRCC |" in lines
    assert "| --- | --: |" in lines
    assert "| art | 0.623 [0.556, 0.680] |" in lines
    assert "| SRCC | ≥ 0.74 | 0.623 | MISSED |" in lines
    assert r"| \|error\| | ≤ 0.05 | -0.020 | met |" in lines
    assert "One seed." in lines


def test_json_keeps_figures_in_full(result):
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["tables"][0]["rows"][0]["SRCC"] == {"value": 0.62349, "low": 0.5561, "high": 0.68}
    assert record["settings"] == {"model": "toy@1", "seed": 42}
    assert [bar["reached"] for bar in record["bars"]] == [False, True, True]


def test_a_terminal_shows_brackets_as_they_are(result):
    stream = io.StringIO()
    result.show(Console(file=stream, width=100))
    shown = stream.getvalue()
    assert "Ranks [bold]" in shown
    assert "0.623 [0.556, 0.680]" in shown
    assert "MISSED" in shown


def test_a_bar_knows_its_direction():
    assert Bar("ratio", 1.5, 1.4).reached
    assert not Bar("ratio", 1.3, 1.4).reached
    assert Bar("time", 1.3, 1.5, "at most").reached
    assert Bar("gain", 0, 0).reached
    assert not Bar("gain", 0, 0, "above").reached


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        Table("t", ("a", "b")).add(1, 2, 3)
