"""A person's closed-form head as it is kept and used: photos to scores and deviations."""

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
from aesmamba_sdk.personalize.space import PhotoSpace, View
from aesmamba_sdk.personalize.taste import TastePrior

HEAD_FILE = "head.safetensors"
_ARRAYS = ("projection", "offset", "mean", "root")
_JITTER = 1e-9


@dataclass(frozen=True)
class PersonalHead:
    """rating = design · w + noise, the design as in :class:`TastePrior`, w one person's.

    Attributes:
        space, projection, offset, generic_center: of the prior it was learned from.
        mean: of w, (k + 2,).
        root: (k + 2, k + 2), lower triangular; root · rootᵀ is the covariance of w.
        noise: variance of a rating around the score.
    """

    space: PhotoSpace
    projection: NDArray[np.float32]
    offset: NDArray[np.float32]
    generic_center: float
    mean: NDArray[np.float32]
    root: NDArray[np.float32]
    noise: float

    @classmethod
    def of(cls, prior: TastePrior, posterior: Posterior) -> PersonalHead:
        covariance = posterior.covariance + _JITTER * np.eye(len(posterior.mean))
        return cls(
            space=prior.space,
            projection=prior.projection.astype(np.float32),
            offset=prior.offset.astype(np.float32),
            generic_center=prior.generic_center,
            mean=posterior.mean.astype(np.float32),
            root=np.linalg.cholesky(covariance).astype(np.float32),
            noise=posterior.noise,
        )

    def scores(self, features: NDArray[Any], generic: NDArray[Any]) -> Vector:
        """Scores (n,) of what is kept of photos (n, d) and generic scores (n,), not clipped."""
        taste = self.mean[2:].astype(np.float64)
        scores: Vector = self.mean[0] + self.mean[1] * (generic - self.generic_center)
        scores = scores - float(self.offset @ taste)
        return scores + self.space(features) @ (self.projection @ taste).astype(np.float32)

    def predict(self, features: NDArray[Any], generic: NDArray[Any]) -> tuple[View, View]:
        """Scores (n,), and the standard deviation (n,) of a rating around each."""
        design = self.design(features, generic)
        deviations = np.sqrt(np.square(design @ self.root).sum(1) + np.float32(self.noise))
        return design @ self.mean, deviations

    def design(self, features: NDArray[Any], generic: NDArray[Any]) -> View:
        """What w is applied to, (n, k + 2)."""
        design = np.empty((len(generic), len(self.mean)), np.float32)
        design[:, 0], design[:, 1] = 1.0, generic - self.generic_center
        np.matmul(self.space(features), self.projection, out=design[:, 2:])
        design[:, 2:] -= self.offset
        return design

    def save(self, folder: Path) -> None:
        scalars = {"generic_center": self.generic_center, "noise": self.noise}
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        tensors |= self.space.arrays()
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
                projection, offset, mean, root = map(opened.get_tensor, _ARRAYS)
                space = PhotoSpace.read(opened.get_tensor)
            known = float(scalars["generic_center"]), float(scalars["noise"])
            return cls(space, projection, offset, known[0], mean, root, known[1])
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise PersonalizeError(
                f"the personal model {file} is missing or damaged ({error}); personalize again",
                code="personal_model_damaged",
            ) from error
