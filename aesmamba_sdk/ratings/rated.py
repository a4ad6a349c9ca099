"""A rated photo, wherever it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aesmamba_sdk.scores import Scale


@dataclass(frozen=True)
class RatedPhoto:
    """One rating as it was given.

    Attributes:
        path: the photo.
        score: raw value, on ``scale``.
        scale: what the person rated on.
        attributes: attribute name to raw value on the same scale.
        source: where the rating was read, e.g. ``"ratings.csv"``.
        group: what the photo belongs with, e.g. one burst or crops of one shot, so that they are
            never on both sides when a personal model is checked; empty where it stands alone.
    """

    path: Path
    score: float
    scale: Scale
    attributes: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    group: str = ""


@dataclass(frozen=True)
class RatingProblem:
    """A rating that cannot be used, and why; ``where`` names the file and row."""

    where: str
    message: str


@dataclass(frozen=True)
class RatedPhotos:
    """What was read.

    Attributes:
        items: usable ratings, one a photo.
        problems: those that are not, and why.
        notes: what was left out on purpose.
    """

    items: list[RatedPhoto]
    problems: list[RatingProblem]
    notes: list[str] = field(default_factory=list)
