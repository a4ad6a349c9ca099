"""From a person's ratings to a personal model folder, by any of the methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.personalize.auto import HeldOut, blend, hold_out, trust_in
from aesmamba_sdk.personalize.bayes import Evidence, Observations
from aesmamba_sdk.personalize.blend import UNKNOWN_STD, Affine, Vector
from aesmamba_sdk.personalize.folder import PersonalRecord, save_record
from aesmamba_sdk.personalize.head import PersonalHead
from aesmamba_sdk.personalize.methods import REACH_OF, Method
from aesmamba_sdk.personalize.space import Matrix
from aesmamba_sdk.personalize.taste import prior_of
from aesmamba_sdk.scores import Scale

if TYPE_CHECKING:
    from aesmamba_sdk.model.backbone import Backbone

MINIMUM_SHOTS = 2
_TASTE_SHOTS = 5  # below, a held-out rating says nothing
_LEAST_GROUPS = 3
_LEARN_CHOICES: tuple[Method, ...] = ("auto", "bayes")


@dataclass(frozen=True)
class Support:
    """What a person rated.

    Attributes:
        features: f_v, (n, d).
        ratings: (n,) on the backbone's scale.
        groups: what each photo belongs with; a group is held out as one.
        load: decodes photo i; called only where the method encodes photos anew.
        chosen, passed: f_v of photos preferred, and of those they were preferred to, (m, d).
    """

    features: NDArray[np.float32]
    ratings: Vector
    groups: Sequence[str]
    load: Callable[[int], Image.Image]
    chosen: NDArray[np.float32] | None = None
    passed: NDArray[np.float32] | None = None

    @property
    def choices(self) -> int:
        return 0 if self.chosen is None else len(self.chosen)

    @property
    def too_small(self) -> bool:
        """Whether there is nothing to learn from."""
        return len(self.ratings) < MINIMUM_SHOTS and not self.choices

    @property
    def tells_taste(self) -> bool:
        """Whether there is more to learn than how the person uses the scale."""
        if self.choices:
            return True
        enough = len(self.ratings) >= _TASTE_SHOTS and len(set(self.groups)) >= _LEAST_GROUPS
        return enough and bool(np.ptp(self.ratings) > 0)


@dataclass(frozen=True)
class Evaluation:
    """How well held-out ratings of the support were predicted; ``None`` with too few."""

    srcc: float | None = None
    mae: float | None = None
    generic_srcc: float | None = None
    generic_mae: float | None = None


@dataclass(frozen=True)
class Fitted:
    """A personal model that was made.

    Attributes:
        record: what is known of it.
        evaluation: on ratings held out.
        notes: what the person should know of how it was made.
    """

    record: PersonalRecord
    evaluation: Evaluation
    notes: list[str] = field(default_factory=list)


def fit_personal(
    folder: Path,
    backbone: Backbone,
    support: Support,
    prompt: str,
    *,
    method: Method = "auto",
    seed: int = 42,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Make a personal model and write it to ``folder``.

    With fewer than five ratings or three groups, or ratings that are all the same, only the
    person's use of the scale is learned, whatever the method.

    Raises:
        PersonalizeError: fewer than two ratings and no choices, or the method cannot learn from
            choices or personalize this model.
    """
    count = len(support.ratings)
    if support.too_small:
        raise PersonalizeError(
            f"{count} usable rating(s): rate at least {MINIMUM_SHOTS} photos, better 10 or more",
            code="too_few_ratings",
        )
    if support.choices and method not in _LEARN_CHOICES:
        raise PersonalizeError(
            f"{method} learns from ratings, not from choices between photos: use the method auto",
            code="choices_unsupported",
        )
    scale = backbone.config.scale
    generic = _generic(backbone, support.features) if count else np.zeros(0)
    record = PersonalRecord(
        backbone=backbone.hash,
        method="affine",
        reach="heads",
        affine=Affine.fit(generic, support.ratings, scale.unit) if count else _unmoved(scale),
        trust=0.0,
        std=UNKNOWN_STD * scale.unit,
        shots=count,
        seed=seed,
        prompt=prompt,
        choices=support.choices,
    )
    fitted = Fitted(record, Evaluation())
    if method in REACH_OF:
        from aesmamba_sdk.personalize.trained import check_trainable, fit_network

        check_trainable(backbone, method)
        if support.tells_taste:
            kind = "full" if method == "full" else "lora"
            record = replace(record, method=kind, reach=REACH_OF[method])
            record, blended = fit_network(folder, backbone, support, generic, record, progress)
            fitted = Fitted(record, evaluate(blended, generic, support.ratings))
    else:
        if support.tells_taste:
            fitted = _fit_head(folder, backbone, support, generic, record, method)
        if progress is not None:
            progress(1, 1)
    save_record(folder, fitted.record)
    return fitted


def _unmoved(scale: Scale) -> Affine:
    middle = scale.low + scale.width / 2
    return Affine(middle, 1.0, middle)


def evaluate(predicted: Vector, generic: Vector, ratings: Vector) -> Evaluation:
    """Held-out predictions beside the generic score; nothing of too few to tell."""
    if len(ratings) < _TASTE_SHOTS:
        return Evaluation()
    return Evaluation(
        srcc=srcc(predicted, ratings),
        mae=float(np.abs(predicted - ratings).mean()),
        generic_srcc=srcc(generic, ratings),
        generic_mae=float(np.abs(generic - ratings).mean()),
    )


def _fit_head(
    folder: Path,
    backbone: Backbone,
    support: Support,
    generic: Vector,
    record: PersonalRecord,
    method: Method,
) -> Fitted:
    evidence, notes = gather_evidence(backbone, support)
    unit = backbone.config.scale.unit
    found = hold_out(evidence, generic, support.groups, unit) if len(generic) else None
    trust = _trust(method, found, evidence)
    if trust > 0:
        center = evidence.prior.generic_center
        posterior = blend(evidence.posterior(), record.affine, trust, center)
        PersonalHead.of(evidence.prior, posterior).save(folder)
        record = replace(record, method="bayes", trust=trust)
    if found is None:
        return Fitted(replace(record, std=float(np.sqrt(evidence.noise))), Evaluation(), notes)
    blended = found.blended(trust)
    record = replace(record, std=float(np.sqrt(np.square(support.ratings - blended).mean())))
    return Fitted(record, evaluate(blended, generic, support.ratings), notes)


def gather_evidence(
    backbone: Backbone, support: Support, others: NDArray[np.float32] | None = None
) -> tuple[Evidence, list[str]]:
    """The prior beside the shared model met with what a person said, and what to say of it.

    Args:
        others: what is kept of further photos, (photos, d): beside the support's they tell what is
            usual where the model has no reference photos.
    """
    usual = backbone.reference
    if usual is None:
        named = [support.features, *_photos(support), *(() if others is None else (others,))]
        usual = np.concatenate([features for features in named if len(features)])
    prior, notes = prior_of(
        backbone.folder,
        backbone.hash,
        usual,
        lambda x: _generic(backbone, x),
        backbone.config.scale.unit,
        backbone.content_axes,
    )

    def design(photos: NDArray[np.float32]) -> Matrix:
        if not len(photos):
            return np.zeros((0, len(prior.mean)))
        return prior.design(photos, _generic(backbone, photos))

    chosen, passed = map(design, _photos(support))
    rated = design(support.features)
    return Evidence(prior, Observations(rated, support.ratings, chosen, passed)), notes


def _photos(support: Support) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """f_v of the photos preferred and of those passed over."""
    none = np.zeros((0, support.features.shape[1]), np.float32)
    if support.chosen is None or support.passed is None:
        return none, none
    return support.chosen, support.passed


def _trust(method: Method, found: HeldOut | None, evidence: Evidence) -> float:
    if method == "affine":
        return 0.0
    if method == "bayes" or found is None:
        return 1.0
    return trust_in(found, evidence)


def _generic(backbone: Backbone, features: NDArray[np.float32]) -> Vector:
    values: Vector = backbone.values(features).astype(np.float64)
    return values
