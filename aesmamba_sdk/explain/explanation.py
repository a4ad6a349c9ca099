"""The value objects of an explanation: plain types, all on the scale of the score they explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aesmamba_sdk.scores import Score


@dataclass(frozen=True)
class Split:
    """A personal score taken apart; the parts add up to it.

    Attributes:
        generic: what everyone gets.
        offset: how much higher the person rates than everyone, whatever the photo.
        slope: what their wider or narrower use of the scale adds for this photo.
        taste: what was learned beyond that, and is blended in by its evidence.
        cut: what the end of the scale takes away; 0 within it.
    """

    generic: float
    offset: float
    slope: float
    taste: float
    cut: float

    @property
    def value(self) -> float:
        return self.generic + self.offset + self.slope + self.taste + self.cut


@dataclass(frozen=True)
class Explanation:
    """What goes along with one photo's score.

    Attributes:
        score: what is explained, with the generic score of each attribute.
        percentiles: each attribute's rank (0-1) among reference photos, the generic score's own
            first; empty where the model has no reference or one attribute alone.
        regions: rows from top to bottom of the upright photo, columns from left to right: by how
            much the score is higher with that region than without it.
        split: of a personal score; ``None`` without a personal model.
        likes: attribute to correlation (-1 to 1), over the reference photos, of what the person's
            taste adds with that attribute, both beyond the generic score; ``None`` where it is not
            known.
        notes: where the evidence is thin or something cannot be told.
    """

    score: Score
    percentiles: Mapping[str, float]
    regions: tuple[tuple[float, ...], ...]
    split: Split | None
    likes: Mapping[str, float] | None
    notes: tuple[str, ...]

    def standings(self) -> list[tuple[str, float]]:
        """Attributes and how far (-1 to 1) their rank lies above the generic score's, far first."""
        if not self.percentiles:
            return []
        (_, own), *others = self.percentiles.items()
        return sorted(((name, p - own) for name, p in others), key=lambda pair: -abs(pair[1]))

    def to_dict(self) -> dict[str, Any]:
        """The score's record and what explains it, in plain JSON types."""
        return self.score.to_dict() | {
            "percentiles": dict(self.percentiles),
            "regions": [list(row) for row in self.regions],
            "split": None if self.split is None else asdict(self.split),
            "likes": None if self.likes is None else dict(self.likes),
            "notes": list(self.notes),
        }
