"""What is known of anyone's taste before they rated a photo: a prior over linear heads on f_v.

Learned from other people's ratings by ``train.taste``; needs numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.personalize.blend import Vector

TASTE_FILE = "taste.safetensors"

Matrix = NDArray[np.float64]
_ARRAYS = ("center", "projection")
_MOST_DIRECTIONS = 128


@dataclass(frozen=True)
class TastePrior:
    """How ratings of a person drawn at random depend on a photo.

    rating = design · w + noise, where the design of a photo is 1, the generic score above its
    usual value, and projections of f_v: first what people on average add to the generic score,
    then directions in which they differ, strongest first. w is normal around ``mean`` with
    independent components of variance ``variance``; the noise's variance is log-normal over people.

    Attributes:
        backbone: hash of the shared model whose features and generic scores these are.
        center: usual f_v, (d,).
        projection: (d, k).
        generic_center: usual generic score.
        mean, variance: of w, (k + 2,).
        log_noise: mean and deviation over people of the log of the noise's variance.
        source: whose ratings it was learned from; empty if nobody's.
    """

    backbone: str
    center: Vector
    projection: Matrix
    generic_center: float
    mean: Vector
    variance: Vector
    log_noise: tuple[float, float]
    source: str = ""

    @property
    def learned(self) -> bool:
        """Whether people's ratings stand behind it."""
        return bool(self.source)

    def design(self, features: NDArray[Any], generic: NDArray[Any]) -> Matrix:
        """f_v (n, d) and generic scores (n,) to (n, k + 2)."""
        design = np.empty((len(generic), self.projection.shape[1] + 2))
        design[:, 0] = 1.0
        design[:, 1] = generic - self.generic_center
        design[:, 2:] = (features - self.center) @ self.projection
        return design

    def save(self, file: Path) -> None:
        """Write the matrices in single precision, all else beside them as JSON."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: np.ascontiguousarray(known.pop(name), np.float32) for name in _ARRAYS}
        known |= {name: list(map(float, known[name])) for name in ("mean", "variance", "log_noise")}
        save_file(arrays, file, {"taste": json.dumps(known, allow_nan=False)})
        file.chmod(0o644)

    @classmethod
    def load(cls, file: Path) -> TastePrior:
        """Read what :meth:`save` wrote.

        Raises:
            PersonalizeError: the file is missing, damaged or no such prior.
        """
        try:
            with safe_open(file, "numpy") as opened:
                known = json.loads((opened.metadata() or {})["taste"])
                arrays = {name: opened.get_tensor(name).astype(np.float64) for name in _ARRAYS}
            return cls._from(known | arrays)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise PersonalizeError(
                f"{file} is missing or no taste prior ({error}); learn it again with "
                "`python -m aesmamba_sdk.train.taste`",
                code="taste_prior",
            ) from error

    @classmethod
    def _from(cls, known: Mapping[str, Any]) -> TastePrior:
        mean, variance = (np.asarray(known[name], np.float64) for name in ("mean", "variance"))
        center, spread = known["log_noise"]
        prior = cls(**{**known, "mean": mean, "variance": variance, "log_noise": (center, spread)})
        width = prior.projection.shape[1] + 2
        if mean.shape != (width,) or variance.shape != (width,):
            raise ValueError(f"{len(mean)} means of {width} weights")
        return prior


def prior_of(
    folder: Path,
    backbone: str,
    usual: NDArray[Any],
    generic: Callable[[NDArray[Any]], Vector],
) -> tuple[TastePrior, list[str]]:
    """The prior that lies beside a model, or one that knows nothing, and what to say of it.

    Args:
        folder: of the shared model.
        backbone: its hash.
        usual: f_v of usual photos, (photos, d), for the spread of features where nothing is known.
        generic: f_v to generic scores.

    Raises:
        PersonalizeError: the file is damaged.
    """
    file = folder / TASTE_FILE
    if file.is_file():
        prior = TastePrior.load(file)
        if prior.backbone == backbone:
            return prior, []
        note = f"{file} was learned with another backbone ({prior.backbone}, now {backbone})"
    else:
        note = f"{folder.name} has no {TASTE_FILE}"
    note += (
        ": learned without knowing other people's taste; `python -m aesmamba_sdk.train.taste` "
        "would teach it"
    )
    return uninformed(backbone, usual, generic(usual)), [note]


def uninformed(backbone: str, features: NDArray[Any], generic: NDArray[Any]) -> TastePrior:
    """The prior where nothing was learned from people: every direction of f_v alike.

    Args:
        backbone: hash of the shared model.
        features, generic: f_v (n, d) and generic scores (n,) of usual photos, for their spread.
    """
    features = features.astype(np.float64)
    center = features.mean(0)
    _, sizes, directions = np.linalg.svd(features - center, full_matrices=False)
    kept = min(len(sizes), _MOST_DIRECTIONS)
    spread = np.sqrt((sizes**2).sum() / len(features)) + 1e-12
    projection = directions[:kept].T / spread
    ones = np.ones(kept)
    return TastePrior(
        backbone=backbone,
        center=center,
        projection=projection,
        generic_center=float(generic.mean()),
        mean=np.r_[generic.mean(), 1.0, 0 * ones],
        variance=np.r_[0.5, 0.25, 0.3 * ones],
        log_noise=(-0.7, 0.5),
        source="",
    )
