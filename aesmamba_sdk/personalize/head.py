"""A person's closed-form head as it is kept and used: f_v and generic scores to scores and stds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.personalize.bayes import Posterior
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.taste import Matrix, TastePrior

HEAD_FILE = "head.safetensors"
_ARRAYS = ("center", "projection", "mean", "root")
_JITTER = 1e-9


@dataclass(frozen=True)
class PersonalHead:
    """rating = design · w + noise, the design as in :class:`TastePrior`, w one person's.

    Attributes:
        center, projection, generic_center: of the prior it was learned from.
        mean: of w, (k + 2,).
        root: (k + 2, k + 2), lower triangular; root · rootᵀ is the covariance of w.
        noise: variance of a rating around the score.
    """

    center: NDArray[np.float32]
    projection: NDArray[np.float32]
    generic_center: float
    mean: NDArray[np.float32]
    root: NDArray[np.float32]
    noise: float

    @classmethod
    def of(cls, prior: TastePrior, posterior: Posterior) -> PersonalHead:
        covariance = posterior.covariance + _JITTER * np.eye(len(posterior.mean))
        return cls(
            center=prior.center.astype(np.float32),
            projection=prior.projection.astype(np.float32),
            generic_center=prior.generic_center,
            mean=posterior.mean.astype(np.float32),
            root=np.linalg.cholesky(covariance).astype(np.float32),
            noise=posterior.noise,
        )

    def scores(self, features: NDArray[Any], generic: NDArray[Any]) -> Vector:
        """Scores (n,) of f_v (n, d) and generic scores (n,), not clipped."""
        weights = self.projection @ self.mean[2:]
        taste = (features.astype(np.float32) - self.center) @ weights
        scores: Vector = self.mean[0] + self.mean[1] * (generic - self.generic_center) + taste
        return scores

    def deviations(self, features: NDArray[Any], generic: NDArray[Any]) -> Vector:
        """Standard deviation (n,) of a rating around each score."""
        design = self.design(features, generic)
        known: Vector = np.square(design @ self.root).sum(1)
        return np.sqrt(known + self.noise)

    def design(self, features: NDArray[Any], generic: NDArray[Any]) -> Matrix:
        """What w is applied to, (n, k + 2)."""
        design = np.empty((len(generic), len(self.mean)), np.float32)
        design[:, 0], design[:, 1] = 1.0, generic - self.generic_center
        design[:, 2:] = (features.astype(np.float32) - self.center) @ self.projection
        return design.astype(np.float64)

    def save(self, folder: Path) -> None:
        scalars = {"generic_center": self.generic_center, "noise": self.noise}
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        save_file(tensors, folder / HEAD_FILE, {"head": json.dumps(scalars)})

    @classmethod
    def load(cls, folder: Path) -> PersonalHead:
        """Read what :meth:`save` wrote.

        Raises:
            PersonalizeError: it is missing or damaged.
        """
        file = folder / HEAD_FILE
        try:
            with safe_open(file, "numpy") as opened:
                scalars = json.loads((opened.metadata() or {})["head"])
                center, projection, mean, root = map(opened.get_tensor, _ARRAYS)
            known = float(scalars["generic_center"]), float(scalars["noise"])
            return cls(center, projection, known[0], mean, root, known[1])
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise PersonalizeError(
                f"the personal model {file} is missing or damaged ({error}); personalize again",
                code="personal_model_damaged",
            ) from error
