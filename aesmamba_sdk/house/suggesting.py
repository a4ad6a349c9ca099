"""Which photos a person should rate next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.personalize.fit import gather_evidence
from aesmamba_sdk.personalize.suggest import Suggestion, choose
from aesmamba_sdk.personalize.support import Gathered, unrated
from aesmamba_sdk.photos import PhotoSource
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import ScoreFailure


def suggest(
    house: House,
    user: str,
    photos: Iterable[PhotoSource],
    count: int,
    failed: Callable[[ScoreFailure], None] | None,
    progress: Progress | None,
) -> list[Suggestion]:
    """See :meth:`aesmamba_sdk.AesMamba.suggest`."""
    stored = house.ratings.list(user)
    gathered = Gathered()
    gathered.add_stored(stored, house.stream, house.known)
    named = unrated(_told(house.stream(photos), failed, progress), stored)
    if not named:
        return []
    backbone = house.backbone
    scale = backbone.config.scale
    features = np.stack([embedded.feature for embedded in named if embedded.feature is not None])
    evidence, _ = gather_evidence(backbone, gathered.support(None, 0, scale), features)
    posterior = evidence.posterior()
    design = evidence.prior.design(features, backbone.values(features))
    scores, stds = posterior.predict(design)
    rows, doubts = choose(posterior, design, count)
    return [
        Suggestion(str(named[i].path), scale.clip(float(scores[i])), float(stds[i]), doubt)
        for i, doubt in zip(rows, doubts, strict=True)
    ]


def _told(
    photos: Iterable[Embedded],
    failed: Callable[[ScoreFailure], None] | None,
    progress: Progress | None,
) -> Iterator[Embedded]:
    """The photos, each told of as it passes."""
    for done, embedded in enumerate(photos, 1):
        if failed is not None and embedded.error is not None:
            failed(ScoreFailure(embedded.error.code, str(embedded.error)))
        if progress is not None:
            progress("photos", done, 0)
        yield embedded
