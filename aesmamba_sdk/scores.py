"""The value objects an app sees: a score is never a bare number.

Every score knows its scale, its rank among reference photos and the model that gave it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1

ATTRIBUTES = (
    "aesthetic",
    "quality",
    "composition",
    "color",
    "depth_of_field",
    "light",
    "content",
    "content_preference",
    "willingness_to_share",
)
"""The nine attributes of PARA, in the order of the public code."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A closed range of scores, lowest to highest.

    Raises:
        ValueError: the bounds are not finite or not in ascending order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a scale needs finite low < high, not {self.low}..{self.high}")

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def unit(self) -> float:
        """How far one point of the scale 1-5 reaches on this one."""
        return self.width / 4

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def convert(self, value: float, to: Scale) -> float:
        """Map ``value`` linearly from this scale to another (the ends map to the ends)."""
        return to.low + (value - self.low) * to.width / self.width

    def __str__(self) -> str:
        return f"{self.low:g}-{self.high:g}"


UNIT_SCORES = Scale(1.0, 5.0)
"""The scale of all scores the SDK gives unless a model says otherwise (PARA's)."""


@dataclass(frozen=True, slots=True)
class ScoreFailure:
    """Why a photo has no score.

    Attributes:
        code: stable name, the ``code`` of the exception, e.g. ``"photo_truncated"``.
        message: one sentence for people, naming the file.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Score:
    """One photo, one user (or nobody), one answer.

    Attributes:
        path: the photo as the caller named it; ``None`` for images given in memory.
        value: the score on ``scale``; ``None`` exactly when ``error`` is set. Personal when
            ``user`` is set, generic otherwise.
        scale: the range of ``value``, ``generic`` and every attribute.
        percentile: share (0-1) of reference photos scored lower by the same model; ``None`` when
            the model has no reference.
        attributes: attribute name to score, when asked for.
        user: whose taste; ``None`` for the generic score.
        generic: what the generic model says, when the score is personal.
        std: standard deviation of a personal score, on ``scale``.
        method: how the personal model was made, e.g. ``"lora"``.
        model: id of the model, name and weight hash.
        error: why there is no score.
        unclipped: a personal ``value`` before it was brought within ``scale``: what tells photos
            apart that all have the highest score.
    """

    path: str | None
    value: float | None
    scale: Scale
    percentile: float | None = None
    attributes: Mapping[str, float] | None = field(default=None)
    user: str | None = None
    generic: float | None = None
    std: float | None = None
    method: str | None = None
    model: str | None = None
    error: ScoreFailure | None = None
    unclipped: float | None = None

    @property
    def order(self) -> float:
        """What photos are ranked by, the higher the better; below all others with an error."""
        if self.value is None:
            return -math.inf
        return self.value if self.unclipped is None else self.unclipped

    @property
    def ok(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """The record of ``--format jsonl`` in plain JSON types; what does not apply is absent."""
        record: dict[str, Any] = {"path": self.path, "schema": SCHEMA_VERSION, "model": self.model}
        if self.user is not None:
            record["user"] = self.user
        if self.error is not None:
            return record | {"error": {"code": self.error.code, "message": self.error.message}}
        record |= {"value": self.value, "scale": [self.scale.low, self.scale.high]}
        record["percentile"] = self.percentile
        if self.attributes is not None:
            record["attributes"] = dict(self.attributes)
        if self.user is not None:
            record |= {"generic": self.generic, "std": self.std, "method": self.method}
        return record


def ranked(scores: Iterable[Score], top: int | None = None) -> list[Score]:
    """The best ``top`` scores from best to worst, then all that have an error.

    Of equal scores the earlier comes first; no more scores are held than are given back.
    """
    failed: list[Score] = []

    def scored() -> Iterator[tuple[float, int, Score]]:
        for i, score in enumerate(scores):
            if score.error is not None:
                failed.append(score)
            else:
                yield -score.order, i, score

    best = sorted(scored()) if top is None else heapq.nsmallest(top, scored())
    return [score for _, _, score in best] + failed
