"""One photo's score, explained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.explain.explanation import Explanation
from aesmamba_sdk.explain.regions import region_effects
from aesmamba_sdk.explain.taste import attribute_ranks, liked_attributes, split_scores
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.scoring import Scoring

_FEW_RATINGS = 20


def explain_photo(
    scoring: Scoring, embedded: tuple[Embedded, Embedded], image: Image.Image
) -> Explanation:
    """Explain a score.

    Args:
        scoring: whose score, and of which model.
        embedded: the photo, without error, as the shared encoder and as the person's sees it.
        image: its upright pixels.
    """
    score = next(scoring.score([embedded]))
    shared, own = (side.feature for side in embedded)
    assert shared is not None
    assert own is not None
    backbone, personal = scoring.backbone, scoring.personal
    attributes = backbone.scores(np.stack([shared]))
    ranks = attribute_ranks(backbone, attributes)
    effects = region_effects(image, lambda images: _values(scoring, images, image))
    return Explanation(
        score=score,
        percentiles={}
        if ranks is None
        else dict(zip(backbone.config.attributes, ranks[0].tolist(), strict=True)),
        regions=tuple(tuple(map(float, row)) for row in effects),
        split=None
        if personal is None
        else split_scores(personal, np.stack([own]), attributes[:, 0])[0],
        likes=None if personal is None else liked_attributes(personal),
        notes=tuple(thin_evidence(scoring)),
    )


def _values(scoring: Scoring, images: Sequence[Image.Image], photo: Image.Image) -> Vector:
    """Scores of altered images of a photo (n,); personal ones go on past the ends of the scale."""
    shared = scoring.backbone(images, photo)
    generic = scoring.backbone.values(shared)
    personal = scoring.personal
    if personal is None:
        return generic.astype(np.float64)
    return personal.unclipped(personal(images, photo) if personal.reencodes else shared, generic)


def thin_evidence(scoring: Scoring) -> list[str]:
    """Where the evidence is thin, in sentences."""
    notes = []
    personal, backbone = scoring.personal, scoring.backbone
    if backbone.reference is None:
        notes.append(
            f"model {backbone.config.name!r} has no reference photos: what is usual is not known"
        )
    if scoring.user is None:
        return notes
    if personal is None:
        notes.append(f"{scoring.user} has no personal model yet: this is everyone's score")
        return notes
    record = personal.record
    if record.trust == 0:
        notes.append(
            f"the {record.shots} ratings of {scoring.user} tell how they use the scale, and no "
            "taste beyond it yet"
        )
    elif record.shots < _FEW_RATINGS:
        counts = ((record.shots, "ratings"), (record.choices, "choices between photos"))
        known = " and ".join(f"{count} {what}" for count, what in counts if count)
        notes.append(f"the taste of {scoring.user} is known from {known} alone: more would tell")
    if personal.reencodes:
        notes.append(
            f"the model of {scoring.user} sees photos in its own way, and the reference photos do "
            "not ship: which attributes its taste goes with is not known"
        )
    return notes
