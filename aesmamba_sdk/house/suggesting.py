"""Which photos a person should rate next."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.fit import gather_evidence
from aesmamba_sdk.personalize.suggest import Suggestion, choose
from aesmamba_sdk.personalize.support import Gathered, unrated
from aesmamba_sdk.photos import PhotoSource


def suggest(house: House, user: str, photos: Iterable[PhotoSource], count: int) -> list[Suggestion]:
    """See :meth:`aesmamba_sdk.AesMamba.suggest`."""
    stored = house.ratings.list(user)
    gathered = Gathered()
    gathered.add_stored(stored, house.stream, house.known)
    named = unrated(house.stream(photos), stored)
    if not named:
        return []
    backbone = house.backbone
    scale = backbone.config.scale
    evidence, _ = gather_evidence(backbone, gathered.support(None, 0, scale))
    features = np.stack([embedded.feature for embedded in named if embedded.feature is not None])
    posterior = evidence.posterior()
    design = evidence.prior.design(features, backbone.values(features))
    scores, stds = posterior.predict(design)
    rows, doubts = choose(posterior, design, count)
    return [
        Suggestion(str(named[i].path), scale.clip(float(scores[i])), float(stds[i]), doubt)
        for i, doubt in zip(rows, doubts, strict=True)
    ]
