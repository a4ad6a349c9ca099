"""What is known of anyone's taste before they rated a photo: a prior over heads.

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
from aesmamba_sdk.personalize.space import Matrix, PhotoSpace

TASTE_FILE = "taste.safetensors"

_ARRAYS = ("projection", "offset")
_MOST_DIRECTIONS = 128
_NO_SPREAD = 1e-6  # less is rounding: along such a direction these photos do not vary at all


@dataclass(frozen=True)
class TastePrior:
    """How ratings of a person drawn at random depend on a photo.

    rating = design · w + noise, where the design of a photo is 1, the generic score above its
    usual value, and projections of its view: first what people on average add to the generic
    score, then directions in which they differ, strongest first. w is normal around ``mean`` with
    independent components of variance ``variance``; the noise's variance is log-normal over people.

    Attributes:
        backbone: hash of the shared model whose features and generic scores these are.
        space: what is kept of a photo to its view, of v numbers.
        projection: (v, k).
        offset: usual projection, (k,).
        generic_center: usual generic score.
        mean, variance: of w, (k + 2,).
        log_noise: mean and deviation over people of the log of the noise's variance.
        source: whose ratings it was learned from; empty if nobody's.
    """

    backbone: str
    space: PhotoSpace
    projection: Matrix
    offset: Vector
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
        """What is kept of photos (n, d) and their generic scores (n,) to (n, k + 2)."""
        design = np.empty((len(generic), self.projection.shape[1] + 2))
        design[:, 0] = 1.0
        design[:, 1] = generic - self.generic_center
        design[:, 2:] = self.space(features) @ self.projection - self.offset
        return design

    def save(self, file: Path) -> None:
        """Write the matrices, the largest in half precision, all else beside them as JSON."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = known.pop("space").arrays()
        arrays |= {name: np.ascontiguousarray(known.pop(name), np.float32) for name in _ARRAYS}
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
                space = PhotoSpace.read(opened.get_tensor)
            return cls._from(known | arrays | {"space": space})
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
        if len(prior.projection) != prior.space.width:
            raise ValueError(f"{len(prior.projection)} rows for views of {prior.space.width}")
        width = prior.projection.shape[1] + 2
        if mean.shape != (width,) or variance.shape != (width,):
            raise ValueError(f"{len(mean)} means of {width} weights")
        return prior


def prior_of(
    folder: Path,
    backbone: str,
    usual: NDArray[Any],
    generic: Callable[[NDArray[Any]], Vector],
    unit: float = 1.0,
    axes: NDArray[Any] | None = None,
) -> tuple[TastePrior, list[str]]:
    """The prior that lies beside a model, or one that knows nothing, and what to say of it.

    Args:
        folder: of the shared model.
        backbone: its hash.
        usual: what is kept of usual photos, (photos, d), for their spread where nothing is known.
        generic: f_v to generic scores.
        unit: what a step of 1-5 is on their scale.
        axes: as for :meth:`PhotoSpace.of`, where nothing is known.

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
    return uninformed(backbone, usual, generic(usual), unit, axes), [note]


def uninformed(
    backbone: str,
    features: NDArray[Any],
    generic: NDArray[Any],
    unit: float = 1.0,
    axes: NDArray[Any] | None = None,
) -> TastePrior:
    """The prior where nothing was learned from people: all directions as photos vary in them.

    Args:
        backbone: hash of the shared model.
        features, generic: what is kept (n, d), and generic scores (n,) of usual photos.
        unit: what a step of 1-5 is on their scale.
        axes: as for :meth:`PhotoSpace.of`.
    """
    space = PhotoSpace.of(features, axes)
    basis = space.basis()
    seen = space(features) @ basis
    center = seen.mean(0)
    _, sizes, directions = np.linalg.svd(seen - center, full_matrices=False)
    kept = directions[sizes > _NO_SPREAD][:_MOST_DIRECTIONS].T
    kept = kept / (np.sqrt(np.square((seen - center) @ kept).sum(1).mean()) + 1e-12)
    ones = np.ones(kept.shape[1])
    return TastePrior(
        backbone=backbone,
        space=space,
        projection=basis @ kept,
        offset=center @ kept,
        generic_center=float(generic.mean()),
        mean=np.r_[generic.mean(), 1.0, 0 * ones],
        variance=np.r_[0.5 * unit**2, 0.25, 0.3 * unit**2 * ones],
        log_noise=(-0.7 + 2 * np.log(unit), 0.5),
        source="",
    )
