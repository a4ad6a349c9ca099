"""The generic score of a protocol: a head fitted to people who are not tested."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.space import Matrix

_STRENGTHS = 10.0 ** np.arange(-4.0, 3.0, 0.25)
_FOLDS = 10


@dataclass(frozen=True)
class GenericHead:
    """Ridge regression of mean ratings on f_v, its strength chosen on photos held out.

    Attributes:
        held_out: (n,) scores of the photos it was fitted to, each by a head that had not seen it.
    """

    center: Vector
    weights: Vector
    offset: float
    held_out: Vector

    @classmethod
    def fit(cls, features: NDArray[np.floating], means: Vector, seed: int) -> GenericHead:
        """From f_v (n, d) and mean ratings (n,)."""
        x = features.astype(np.float64)
        center, spread = x.mean(0), x.std(0) + 1e-6
        scale = spread * np.sqrt(x.shape[1])
        x = (x - center) / scale
        fold = np.random.default_rng(seed).permutation(len(x)) % _FOLDS
        held = np.stack([_held_out(x, means, fold, strength) for strength in _STRENGTHS])
        best = int(np.square(held - means).mean(1).argmin())
        offset = float(means.mean())
        weights = _ridge(x, means - offset, _STRENGTHS[best]) / scale
        return cls(center, weights, offset, held[best])

    def __call__(self, features: NDArray[np.floating]) -> Vector:
        scores: Vector = self.offset + (features - self.center) @ self.weights
        return scores


def _held_out(x: Matrix, means: Vector, fold: NDArray[np.int64], strength: float) -> Vector:
    held = np.empty(len(x))
    for k in np.unique(fold):
        kept = fold != k
        offset = means[kept].mean()
        held[~kept] = offset + x[~kept] @ _ridge(x[kept], means[kept] - offset, strength)
    return held


def _ridge(x: Matrix, y: Vector, strength: float) -> Vector:
    weights: Vector = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(len(x)), y)
    return weights
