"""GIAA and FIAA: how scores rank photos, attribute by attribute, and how they lie to the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.evaluate.data import Figures, Scored
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.evaluate.statistics import RESAMPLES, Estimate, Rows, bootstrap
from aesmamba_sdk.metrics import accuracy, plcc, srcc

GENERIC = "aesthetic"
GIAA_BARS = {"para": 0.74, "oasis": 0.40}
"""SRCC to reach: on PARA by training on CPUs alone; on OASIS, which no weight has seen."""
FIAA_BAR = 0.66
MEAN_ERROR_BAR, SLOPE_BAR = 0.05, 0.1
_DECILES = 10


@dataclass(frozen=True)
class Correlations:
    """Per attribute, and as the last of each list their mean.

    Attributes:
        constant: what made a ranking impossible, per attribute; empty where nothing did.
    """

    attributes: tuple[str, ...]
    srcc: list[Estimate]
    plcc: list[Estimate]
    accuracy: list[Estimate]
    constant: tuple[str, ...]


def check_giaa(shared: Sequence[str]) -> None:
    """
    Raises:
        DatasetError: ``aesthetic`` is not among the attributes that model and data share.
    """
    if GENERIC not in shared:
        raise DatasetError(
            f"nothing to compare for {GENERIC}: the model and the data share "
            f"{', '.join(shared)} alone"
        )


def check_fiaa(shared: Sequence[str]) -> None:
    """
    Raises:
        DatasetError: ``aesthetic`` or others are not among the attributes that model and data
            share.
    """
    if GENERIC not in shared or len(shared) < 2:
        raise DatasetError(
            f"fiaa compares other attributes with {GENERIC}; the model and the data share "
            f"{', '.join(shared)} alone"
        )


def giaa(scored: Scored, seed: int, *, data: str) -> Result:
    """The generic score against people's mean: accuracy, PLCC, SRCC and calibration.

    Args:
        scored: with the attribute ``aesthetic``.
        seed: of the bootstrap over photos.
        data: name of the dataset, which decides what has to be reached.

    Raises:
        DatasetError: ``aesthetic`` is not scored.
    """
    check_giaa(scored.attributes)
    alone = scored.only(GENERIC)
    found = correlations(alone, seed)
    tables = [correlation_table("GIAA", found), calibration_table(alone), decile_table(alone)]
    result = Result("giaa", tables=tables)
    if data in GIAA_BARS:
        result.bars.append(Bar(f"SRCC on {data}", found.srcc[0].value, GIAA_BARS[data]))
    if data == "para":
        result.bars += calibration_bars(alone)
    return result


def fiaa(scored: Scored, seed: int, *, data: str) -> Result:
    """Every attribute, a copy of the aesthetic score beside it, and what is left without that.

    Args:
        scored: with ``aesthetic`` and others.
        seed: of the bootstrap over photos.
        data: name of the dataset, which decides what has to be reached.

    Raises:
        DatasetError: ``aesthetic`` or others are not scored.
    """
    check_fiaa(scored.attributes)
    found = correlations(scored, seed)
    copies, gain = copy_table(scored, seed)
    tables = [correlation_table("FIAA", found), copies, calibration_table(scored)]
    result = Result("fiaa", tables=tables)
    if data == "para":
        result.bars = [
            Bar("mean SRCC over the attributes", found.srcc[-1].value, FIAA_BAR),
            Bar("gain over a copy, low end of its interval", gain.low, 0, "above"),
            *calibration_bars(scored),
        ]
    return result


def correlations(scored: Scored, seed: int) -> Correlations:
    """SRCC, PLCC and accuracy with intervals over photos.

    SRCC and PLCC of constant predictions or labels are counted as 0.
    """

    def right(x: ArrayLike, y: ArrayLike) -> float:
        return accuracy(x, y, scored.good)

    def figures(rows: Rows) -> Figures:
        pairs = [_pair(scored, i, rows) for i in columns]
        found = np.array([[metric(x, y) for x, y in pairs] for metric in (srcc, plcc, right)])
        return np.column_stack([found, found.mean(1)]).ravel()

    columns = range(len(scored.attributes))
    found = bootstrap(figures, len(scored), seed)
    third = len(found) // 3
    ranking, linear, correct = (found[i * third : (i + 1) * third] for i in range(3))
    every = np.arange(len(scored))
    constant = tuple(_constant(*_pair(scored, i, every)) for i in columns)
    return Correlations(scored.attributes, ranking, linear, correct, constant)


def correlation_table(title: str, found: Correlations) -> Table:
    """SRCC, PLCC and accuracy per attribute; what is constant has a column where anything is."""
    columns = ["attribute", "SRCC", "PLCC", "accuracy"]
    names = [*found.attributes, "mean"] if len(found.attributes) > 1 else [*found.attributes]
    table = Table(title, columns, decimals=3)
    for i, name in enumerate(names):
        table.add(_spoken(name), found.srcc[i], found.plcc[i], found.accuracy[i])
    if any(found.constant):
        table.columns = [*columns, "constant"]
        said = [*found.constant, ""]
        table.rows = [(*row, said[i]) for i, row in enumerate(table.rows)]
        table.notes.append("Rankings of or by constant values are counted as SRCC and PLCC 0.")
    return table


def copy_table(scored: Scored, seed: int, *, resamples: int = RESAMPLES) -> tuple[Table, Estimate]:
    """Each attribute's own score beside the aesthetic one in its place, and their mean gain.

    Returns:
        The table, and the paired difference of the mean SRCC.
    """
    generic = scored.attributes.index(GENERIC)
    others = [i for i in range(len(scored.attributes)) if i != generic]

    def figures(rows: Rows) -> Figures:
        own = [srcc(*_pair(scored, i, rows)) for i in range(len(scored.attributes))]
        copy = [_copy(scored, i, rows, srcc) for i in range(len(scored.attributes))]
        left = [_residual(scored, i, rows) for i in others]
        gains = np.subtract(own, copy)
        means = [np.mean(copy), gains.mean(), np.mean(left)]
        return np.array([*copy, *gains, *left, *means])

    found = bootstrap(figures, len(scored), seed, resamples=resamples)
    count = len(scored.attributes)
    residuals = dict(zip(others, found[2 * count :], strict=False))
    table = Table(
        "A copy of the aesthetic score in every attribute's place",
        ("attribute", "copy's SRCC", "own - copy's", "SRCC of the rest"),
        decimals=3,
    )
    for i, name in enumerate(scored.attributes):
        table.add(_spoken(name), found[i].value, found[count + i], residuals.get(i))
    table.add("mean", found[-3].value, *found[-2:])
    table.notes += [
        "The difference is paired: both scores rank the same resampled photos.",
        "The rest: what the attribute is above the aesthetic score, in scores and in labels.",
    ]
    return table, found[-2]


def calibration_table(scored: Scored) -> Table:
    """How scores lie to the labels: mean error, and the slope of the labels' line on them."""
    table = Table(
        "Calibration", ("attribute", "mean error", "slope", "mean absolute error"), decimals=3
    )
    for i, name in enumerate(scored.attributes):
        x, y = _pair(scored, i, np.arange(len(scored)))
        table.add(_spoken(name), *_lie(x, y), float(np.abs(x - y).mean()))
    table.notes.append("A calibrated score has mean error 0 and slope 1.")
    return table


def decile_table(scored: Scored) -> Table:
    """Error of the first attribute from the lowest tenth of the scores to the highest."""
    x, y = _pair(scored, 0, np.arange(len(scored)))
    table = Table(
        f"Error of {_spoken(scored.attributes[0])} by decile of the score",
        ("decile", "photos", "mean score", "mean label", "mean error"),
        decimals=3,
    )
    for number, rows in enumerate(np.array_split(np.argsort(x, kind="stable"), _DECILES), 1):
        if rows.size:
            score, label = float(x[rows].mean()), float(y[rows].mean())
            table.add(number, rows.size, score, label, score - label)
    return table


def calibration_bars(scored: Scored) -> list[Bar]:
    """The worst mean error and the worst slope of all attributes."""
    every = np.arange(len(scored))
    lies = [_lie(*_pair(scored, i, every)) for i in range(len(scored.attributes))]
    return [
        Bar("largest mean error", max(abs(e) for e, _ in lies), MEAN_ERROR_BAR, "at most"),
        Bar(
            "largest distance of a slope from 1",
            max(abs(s - 1) for _, s in lies),
            SLOPE_BAR,
            "at most",
        ),
    ]


def _lie(x: Figures, y: Figures) -> tuple[float, float]:
    """Mean error, and slope of y on x; 0 where x is constant."""
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread else 0.0
    return float((x - y).mean()), slope


def _pair(scored: Scored, column: int, rows: Rows) -> tuple[Figures, Figures]:
    """Predictions and labels of the labelled ones of these photos."""
    labels = scored.labels[rows, column]
    labelled = ~np.isnan(labels)
    return scored.predicted[rows, column][labelled], labels[labelled]


def _copy(
    scored: Scored, column: int, rows: Rows, metric: Callable[[ArrayLike, ArrayLike], float]
) -> float:
    """The aesthetic score against another attribute's labels."""
    labels = scored.labels[rows, column]
    labelled = ~np.isnan(labels)
    generic = scored.predicted[rows, scored.attributes.index(GENERIC)]
    return metric(generic[labelled], labels[labelled])


def _residual(scored: Scored, column: int, rows: Rows) -> float:
    """SRCC of what the attribute is above the aesthetic score."""
    generic = scored.attributes.index(GENERIC)
    labels = scored.labels[rows, column] - scored.labels[rows, generic]
    predicted = scored.predicted[rows, column] - scored.predicted[rows, generic]
    labelled = ~np.isnan(labels)
    return srcc(predicted[labelled], labels[labelled])


def _constant(x: Figures, y: Figures) -> str:
    flat = [name for name, values in (("predictions", x), ("labels", y)) if not np.ptp(values)]
    return " and ".join(flat)


def _spoken(attribute: str) -> str:
    return attribute.replace("_", " ")
