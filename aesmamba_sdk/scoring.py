"""Features to :class:`Score` objects, for everyone or for one person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.model.backbone import Array, Backbone, percentile
from aesmamba_sdk.personalize.scorer import PersonalScorer
from aesmamba_sdk.scores import Score, ScoreFailure

_BATCH = 16


@dataclass(frozen=True)
class Scoring:
    """What to say of each photo.

    Attributes:
        backbone: the shared model.
        user: whose taste; ``None`` for nobody's.
        personal: the user's model; ``None`` while there is none.
        attributes: whether to give the nine attributes.
        text: token features of a caption and their mask, for models that read captions.
    """

    backbone: Backbone
    user: str | None = None
    personal: PersonalScorer | None = None
    attributes: bool = False
    text: tuple[Tensor, Tensor] | None = None

    def score(self, photos: Iterable[tuple[Embedded, Embedded]]) -> Iterator[Score]:
        """Scores in order, for photos as the shared encoder and as the user's sees them."""
        batch: list[tuple[Embedded, Embedded]] = []
        for pair in photos:
            batch.append(pair)
            if len(batch) == _BATCH:
                yield from self._score_batch(batch)
                batch = []
        yield from self._score_batch(batch)

    def _score_batch(self, batch: list[tuple[Embedded, Embedded]]) -> Iterator[Score]:
        features = [(s.feature, o.feature) for s, o in batch]
        good = [(s, o) for s, o in features if s is not None and o is not None]
        generic, values, deviations = self._values(good)
        row = 0
        for shared, own in batch:
            if shared.feature is None or own.feature is None:
                yield self._failure(shared, own)
            else:
                std = None if deviations is None else float(deviations[row])
                yield self._success(shared.path, generic[row], float(values[row]), std)
                row += 1

    def _values(self, features: list[tuple[Array, Array]]) -> tuple[Array, Array, Array | None]:
        """Generic scores (n, attributes), what the user's value is (n,), and how sure that is."""
        if not features:
            return np.zeros((0, 1), np.float32), np.zeros(0, np.float32), None
        shared, own = (np.stack(side) for side in zip(*features, strict=True))
        generic = self.backbone.scores(shared, self.text)
        if self.personal is None:
            return generic, generic[:, 0], None
        value = generic[:, 0]
        personal = self.personal
        return generic, personal.scores(own, value), personal.deviations(own, value)

    def _success(self, path: str | None, generic: Array, value: float, std: float | None) -> Score:
        config = self.backbone.config
        # The reference photos have no captions: no rank among them holds for a photo with one.
        reference = None if self.text is not None else self.backbone.reference_values
        method = None
        if self.user is not None:
            method = "generic"
        if self.personal is not None:
            reference = self.personal.reference_values
            method = self.personal.record.method
        named = dict(zip(config.attributes, map(float, generic), strict=True))
        return Score(
            path=path,
            value=value,
            scale=config.scale,
            percentile=percentile(value, reference),
            attributes=named if self.attributes else None,
            user=self.user,
            generic=float(generic[0]) if self.user is not None else None,
            std=std,
            method=method,
            model=self.backbone.id,
        )

    def _failure(self, shared: Embedded, own: Embedded) -> Score:
        error = shared.error or own.error
        assert error is not None
        return Score(
            path=shared.path,
            value=None,
            scale=self.backbone.config.scale,
            user=self.user,
            model=self.backbone.id,
            error=ScoreFailure(error.code, str(error)),
        )
