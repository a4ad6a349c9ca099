"""How a person's score comes about from everyone's, and which attributes their taste goes with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.explain.explanation import Split
from aesmamba_sdk.model.backbone import Backbone, percentiles
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.scorer import PersonalScorer

_NO_SPREAD = 1e-4  # on the scale of scores: less is rounding, not taste


def split_scores(personal: PersonalScorer, features: Array, generic: Array) -> list[Split]:
    """Personal scores taken apart, photo by photo.

    Args:
        personal: the person's model.
        features: this person's f_v, (n, d).
        generic: the backbone's values, (n,).
    """
    affine, scale = personal.record.affine, personal.backbone.config.scale
    wholes = personal.unclipped(features, generic)
    lines = affine(generic.astype(np.float64))
    return [
        Split(
            generic=value,
            offset=affine.mean - affine.centre,
            slope=(affine.slope - 1) * (value - affine.centre),
            taste=whole - line,
            cut=scale.clip(whole) - whole,
        )
        for value, whole, line in zip(
            generic.tolist(), wholes.tolist(), lines.tolist(), strict=True
        )
    ]


def attribute_ranks(backbone: Backbone, scores: Array) -> NDArray[np.float64] | None:
    """Ranks (0-1) of attribute scores (n, attributes) among the reference photos', same shape.

    ``None`` without reference photos, or with one attribute alone. Every attribute has a head of
    its own, so none is a cause of the generic score: they stand beside it.
    """
    reference = backbone.reference
    if reference is None or scores.shape[1] < 2:
        return None
    usual = np.sort(backbone.scores(reference), axis=0)
    return np.stack([percentiles(*pair) for pair in zip(scores.T, usual.T, strict=True)], axis=1)


def liked_attributes(personal: PersonalScorer) -> dict[str, float] | None:
    """Correlation over the reference photos of a person's taste with each attribute, high first.

    Taste is what the personal score adds to the generic one on the person's scale. Both sides are
    taken beyond what the generic score tells (partial correlation): a good photo has most
    attributes high, which is nobody's own taste.

    Returns:
        Attributes but the first, which is the generic score; ``None`` where there are no reference
        photos for this model, or taste adds the same to all.
    """
    backbone = personal.backbone
    reference = backbone.reference
    if reference is None or personal.reencodes:
        return None
    scores = backbone.scores(reference)
    generic = scores[:, 0].astype(np.float64)
    added = personal.unclipped(reference, scores[:, 0]) - personal.record.affine(generic)
    taste = _beyond(generic, added)
    if taste.std() < _NO_SPREAD:
        return None
    found = {}
    for name, column in zip(backbone.config.attributes[1:], scores.T[1:], strict=True):
        attribute = _beyond(generic, column.astype(np.float64))
        if attribute.std() >= _NO_SPREAD:
            found[name] = float((taste * attribute).mean() / (taste.std() * attribute.std()))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _beyond(generic: Vector, values: NDArray[np.float64]) -> Vector:
    """What is left of values (n,) after the line through them along the generic score."""
    x, y = generic - generic.mean(), values - values.mean()
    left: Vector = y - x * (x @ y) / max(float(x @ x), 1e-12)
    return left
