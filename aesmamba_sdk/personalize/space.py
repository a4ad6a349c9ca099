"""Photos as tastes see them: where they lie among others, and how like known photos they are.

What people like on average, and how they differ, is smooth in what is kept of a photo, but not
linear in it. Both are linear in this view. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
View = NDArray[np.float32]

_ARRAYS = ("center", "axes", "landmarks")
_AXES, _LANDMARKS = 128, 600
_LINEAR = 0.1
"""Weight of where a photo lies, beside how like known photos it is."""
_CHUNK = 1024  # photos at a time: what is in work stays in a cache
_LEAST_SPREAD = 1e-3  # of a number that hardly varies
_LEAST_AWAY = 0.1  # half precision holds the axes of photos that are all the same
_ALIKE = 1e-3  # a landmark that shows what another shows is not told apart any finer


@dataclass(frozen=True)
class PhotoSpace:
    """Photos as points, their distance scaled such that usual photos lie about 1 from the centre.

    Attributes:
        center: usual photo, (d,).
        axes: (d, p), in half precision.
        landmarks: points of known photos, (m, p), in half precision; none: the view is linear.
    """

    center: NDArray[np.float32]
    axes: NDArray[np.float16]
    landmarks: NDArray[np.float16]

    @classmethod
    def of(cls, features: NDArray[Any], axes: NDArray[Any] | None = None) -> PhotoSpace:
        """The space that photos span; they are its landmarks, evenly picked if many.

        Args:
            features: what is kept of the photos, (n, d).
            axes: the directions to see photos along, (d, p), where some are known to tell what is
                in them; by default those in which these photos differ most, each number measured
                by its own spread.
        """
        x = features.astype(np.float64)
        center = x.mean(0)
        if axes is None:
            spread = x.std(0) + _LEAST_SPREAD
            _, _, directions = np.linalg.svd((x - center) / spread, full_matrices=False)
            axes = directions[:_AXES].T / spread[:, None]
        away = np.sqrt(np.square((x - center) @ axes).sum(1).mean())
        axes = (axes / max(away, _LEAST_AWAY)).astype(np.float16)
        bare = cls(center.astype(np.float32), axes, np.zeros((0, axes.shape[1]), np.float16))
        picked = np.unique(np.linspace(0, len(x) - 1, min(len(x), _LANDMARKS)).round().astype(int))
        return cls(bare.center, axes, bare(x[picked]).astype(np.float16))

    @property
    def width(self) -> int:
        """Numbers in the view of a photo."""
        return int(self.axes.shape[1]) + len(self.landmarks)

    def __call__(self, features: NDArray[Any]) -> View:
        """What is kept of photos, (n, d), to their view: points, then exp(-distance) to each
        landmark, (n, p + m)."""
        axes, known = self.axes.astype(np.float32), self.landmarks.astype(np.float32)
        split, sizes = axes.shape[1], np.square(known).sum(1)
        view = np.empty((len(features), self.width), np.float32)
        for start in range(0, len(features), _CHUNK):
            part = view[start : start + _CHUNK]
            x = (features[start : start + _CHUNK] - self.center).astype(np.float32) @ axes
            part[:, :split] = x
            if len(known):
                distance = x @ (-2 * known.T)
                distance += sizes
                distance += np.square(x).sum(1, keepdims=True)
                np.sqrt(np.maximum(distance, 0, out=distance), out=distance)
                np.exp(np.negative(distance, out=distance), out=part[:, split:])
        return view

    def unseen(self) -> Matrix:
        """Views of the landmarks as if each were none, (m, p + m).

        A landmark is like itself beyond what others tell of it; a photo to be scored never is.
        """
        likeness = self._likeness()
        alone = 1 / np.diag(np.linalg.inv(likeness))
        views: Matrix = np.c_[self.landmarks.astype(np.float64), likeness - np.diag(alone)]
        return views

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What to write to a file."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}

    @classmethod
    def read(cls, tensor: Callable[[str], NDArray[Any]]) -> PhotoSpace:
        """From what :meth:`arrays` gave, by name."""
        return cls(*map(tensor, _ARRAYS))

    def basis(self) -> Matrix:
        """(p + m, r): turns views into coordinates whose inner products are the kernel
        ``_LINEAR`` x·y + exp(-|x - y|), exactly so between landmarks."""
        axes, count = self.axes.shape[1], len(self.landmarks)
        basis = np.zeros((axes + count, axes + count))
        np.fill_diagonal(basis[:axes, :axes], np.sqrt(_LINEAR))
        if count:
            sizes, turn = np.linalg.eigh(self._likeness())
            basis[axes:, axes:] = turn / np.sqrt(sizes)
        return basis

    def _likeness(self) -> Matrix:
        """Of the landmarks to each other, (m, m)."""
        points = self.landmarks.astype(np.float64)
        apart = np.square(points).sum(1)
        apart = apart + apart[:, None] - 2 * points @ points.T
        likeness: Matrix = np.exp(-np.sqrt(apart.clip(0))) + _ALIKE * np.eye(len(points))
        return likeness
