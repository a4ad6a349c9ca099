"""Correlation and accuracy as the field reports them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def plcc(predicted: ArrayLike, target: ArrayLike) -> float:
    """Pearson's linear correlation; 0 where either side is constant."""
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (predicted, target))
    if x.size != y.size:
        raise ValueError(f"{x.size} predictions for {y.size} targets")
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def srcc(predicted: ArrayLike, target: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; 0 where either side is constant.

    NaN where any value is: what is no number has no rank.
    """
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (predicted, target))
    if np.isnan(x).any() or np.isnan(y).any():
        return float("nan")
    return plcc(ranks(x), ranks(y))


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean."""
    x = np.asarray(values, dtype=np.float64).ravel()
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return mean_rank


def accuracy(predicted: ArrayLike, target: ArrayLike, threshold: float) -> float:
    """Share of photos on the same side of ``threshold`` in both (above it is positive).

    NaN of no photos.
    """
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (predicted, target))
    if not x.size:
        return float("nan")
    return float(((x > threshold) == (y > threshold)).mean())
