"""How much of a person to believe: the generic score on their scale, and evidence for more.

Two shrinkages. The affine map from generic scores to a person's ratings starts from the identity
and moves as ratings come in. What a personal network adds to it is weighted by how well it
predicted ratings it had not seen, and by how many there were.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# People differ in their mean rating by about as much as two ratings of one person do.
_OFFSET_RATINGS = 2.0
# Prior weight of slope 1, in summed squared deviations of the generic score, on 1-5: about 15
# photos'.
_SLOPE_EVIDENCE = 2.4
_SLOPES = (0.2, 3.0)
# Ratings at which a personal network counts half of what cross-validation says.
_HALF_TRUST = 20.0
UNKNOWN_STD = 0.8
"""Deviation of a single rating from a score, on 1-5, before there is any evidence."""


@dataclass(frozen=True)
class Affine:
    """A person's use of the scale: rating = mean + slope · (generic - centre)."""

    mean: float
    slope: float
    centre: float

    @classmethod
    def fit(cls, generic: Vector, ratings: Vector, unit: float) -> Affine:
        """From generic scores and ratings of the same photos; one is enough.

        Args:
            unit: what a step of 1-5 is on their scale.
        """
        count, centre = len(ratings), float(generic.mean())
        bias = float((ratings - generic).mean()) * count / (count + _OFFSET_RATINGS)
        x = generic - centre
        rest = ratings - ratings.mean() - x
        slope = 1.0 + float(x @ rest) / (float(x @ x) + _SLOPE_EVIDENCE * unit**2)
        return cls(centre + bias, float(np.clip(slope, *_SLOPES)), centre)

    @staticmethod
    def held_out(
        generic: Vector, ratings: Vector, members: NDArray[np.intp], unit: float
    ) -> Vector:
        """Each photo by the map that :meth:`fit` makes of the photos of other groups.

        Args:
            generic, ratings: (n,).
            members: (n,) number of each photo's group. A group that is all there is keeps its
                generic scores.
            unit: as for :meth:`fit`.
        """

        def others(values: Vector) -> Vector:
            left: Vector = values.sum() - np.bincount(members, values)[members]
            return left

        count = others(np.ones_like(generic))
        safe = np.maximum(count, 1.0)
        x_mean, y_mean = others(generic) / safe, others(ratings) / safe
        energy = np.maximum(others(generic**2) - safe * x_mean**2, 0.0)
        product = others(generic * ratings) - safe * x_mean * y_mean
        slope = 1.0 + (product - energy) / (energy + _SLOPE_EVIDENCE * unit**2)
        bias = (y_mean - x_mean) * count / (count + _OFFSET_RATINGS)
        moved = x_mean + bias + slope.clip(*_SLOPES) * (generic - x_mean)
        return np.where(count > 0, moved, generic)

    def __call__(self, generic: Vector) -> Vector:
        return self.mean + self.slope * (generic - self.centre)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def trust(residual: Vector, addition: Vector) -> float:
    """Weight (0-1) of what a personal network adds.

    Args:
        residual: rating minus affine generic score of photos that neither had seen.
        addition: what the network wanted to add to the affine score there.
    """
    noise = float(residual @ residual) / len(residual)
    weight = float(residual @ addition) / (float(addition @ addition) + noise + 1e-12)
    evidence = len(residual) / (len(residual) + _HALF_TRUST)
    return float(np.clip(weight, 0.0, 1.0)) * evidence
