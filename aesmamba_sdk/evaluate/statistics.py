"""Figures with what they are uncertain by: bootstrap intervals, and mean and deviation of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000
_TAILS = (0.025, 0.975)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Runs:
    """Mean and sample deviation over repeated runs; of a single run the deviation is 0."""

    mean: float
    sd: float
    runs: int

    @classmethod
    def of(cls, figures: ArrayLike) -> Runs:
        """
        Raises:
            ValueError: there are no figures.
        """
        x = np.asarray(figures, dtype=np.float64).ravel()
        if not x.size:
            raise ValueError("no runs to take the mean of")
        return cls(float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else 0.0, x.size)


def bootstrap(
    statistic: Callable[[Rows], ArrayLike], count: int, seed: int, *, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Figures of a sample with their percentile intervals.

    The figures share the resamples, so that a difference computed by ``statistic`` is paired.

    Args:
        statistic: given rows (some of them repeated), one figure or several; NaN for those that
            these rows tell nothing about.
        count: rows of the sample: photos, or people.
        seed: of the resamples; the same seed and count give the same ones.
        resamples: how many.

    Raises:
        ValueError: the sample is empty.
    """
    if count < 1:
        raise ValueError("an empty sample has no figures")
    rng = np.random.default_rng(seed)
    drawn = [
        np.atleast_1d(np.asarray(statistic(rng.integers(count, size=count)), dtype=np.float64))
        for _ in range(resamples)
    ]
    low, high = np.nanquantile(np.stack(drawn), _TAILS, axis=0)
    found = np.atleast_1d(np.asarray(statistic(np.arange(count)), dtype=np.float64))
    return [Estimate(*map(float, figures)) for figures in zip(found, low, high, strict=True)]
