"""Features to :class:`Score` objects, for everyone or for one person."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.model.backbone import Backbone, percentiles
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.personalize.scorer import PersonalScorer
from aesmamba_sdk.scores import Score, ScoreFailure

if TYPE_CHECKING:
    from aesmamba_sdk.model.network import ReadText

_BATCH, _CACHED_BATCH = 16, 2048
"""Photos at a time: people wait for those that have to be encoded, those from the cache rush by.

Many, since the threads of torch and of numpy's products, alternating, get in each other's way.
"""
_Pairs = list[tuple[Embedded, Embedded]]
_Row = tuple[list[float], float, float | None, float | None]
"""Generic scores of the attributes asked for, value, std and percentile of a photo.

The value is not clipped to the scale."""


@dataclass(frozen=True)
class Scoring:
    """What to say of each photo.

    Attributes:
        backbone: the shared model.
        user: whose taste; ``None`` for nobody's.
        personal: the user's model; ``None`` while there is none.
        attributes: whether to give the nine attributes.
        text: a caption as it was read, for models that read captions.
    """

    backbone: Backbone
    user: str | None = None
    personal: PersonalScorer | None = None
    attributes: bool = False
    text: ReadText | None = None

    def score(self, photos: Iterable[tuple[Embedded, Embedded]]) -> Iterator[Score]:
        """Scores in order, for photos as the shared encoder and as the user's sees them."""
        with ThreadPoolExecutor(1, "scores") as pool:
            begun: deque[tuple[_Pairs, Future[list[_Row]]]] = deque()
            for batch in _batches(photos):
                begun.append((batch, pool.submit(self._rows, batch)))
                # Those from the cache are reckoned with while the next are read.
                while len(begun) > (len(batch) == _CACHED_BATCH):
                    yield from self._scores(*begun.popleft())

    def _scores(self, batch: _Pairs, scored: Future[list[_Row]]) -> Iterator[Score]:
        rows = iter(scored.result())
        for shared, own in batch:
            if shared.feature is None or own.feature is None:
                yield self._failure(shared, own)
            else:
                yield self._success(shared.path, *next(rows))

    def _rows(self, batch: _Pairs) -> list[_Row]:
        """What is known of each photo that has features."""
        pairs = ((shared.feature, own.feature) for shared, own in batch)
        features = [(s, o) for s, o in pairs if s is not None and o is not None]
        if not features:
            return []
        shared = _stacked([shared for shared, _ in features])
        alike = all(own is shared for shared, own in features)
        own = shared if alike else _stacked([own for _, own in features])
        if self.attributes:
            generic = self.backbone.scores(shared, self.text)
        else:
            generic = self.backbone.values(shared, self.text)[:, None]
        values, reference = generic[:, 0], self.backbone.reference_values
        deviations: Array | None = None
        if self.personal is not None:
            reference = self.personal.reference_values
            values, deviations = self.personal.judge(own, values)
        if self.text is not None:  # the reference photos have no captions to be ranked with
            reference = None
        ranks = None if reference is None else percentiles(values, reference)
        nothing = [None] * len(values)
        return list(
            zip(
                generic.tolist(),
                values.tolist(),
                nothing if deviations is None else deviations.tolist(),
                nothing if ranks is None else ranks.tolist(),
                strict=True,
            )
        )

    def _success(
        self,
        path: str | None,
        generic: list[float],
        value: float,
        std: float | None,
        percentile: float | None,
    ) -> Score:
        config = self.backbone.config
        within = config.scale.clip(value)
        method = None
        if self.user is not None:
            method = "generic" if self.personal is None else self.personal.record.method
        return Score(
            path=path,
            value=within,
            scale=config.scale,
            percentile=percentile,
            attributes=dict(zip(config.attributes, generic, strict=True))
            if self.attributes
            else None,
            user=self.user,
            generic=generic[0] if self.user is not None else None,
            std=std,
            method=method,
            model=self.backbone.id,
            unclipped=None if value == within else value,
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


def _batches(photos: Iterable[tuple[Embedded, Embedded]]) -> Iterator[_Pairs]:
    """The last is never full, maybe empty, and comes before what ``photos`` raises."""
    batch: _Pairs = []
    try:
        for pair in photos:
            batch.append(pair)
            if len(batch) >= (_BATCH if pair[1].fresh else _CACHED_BATCH):
                yield batch
                batch = []
    except Exception:
        yield batch
        raise
    yield batch


def _stacked(rows: list[Array]) -> Array:
    """(n, d); np.stack takes three times as long for many short rows."""
    return np.concatenate(rows).reshape(len(rows), -1)
