"""Scored files to groups: gathers what is compared, and keeps copies of one content together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.embeddings.stream import Embedded
from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.scores import Score
from aesmamba_sdk.similar.groups import Array, group_similar, whitened
from aesmamba_sdk.similar.sketch import SIDE
from aesmamba_sdk.xmp.embedded import read_embedded

_EPOCH = datetime(1970, 1, 1)
Embed = Callable[[Sequence[str]], Iterable[Embedded]]


@dataclass(frozen=True)
class Similar:
    """A photo of a group.

    Attributes:
        score: its score.
        similarity: to the best photo of the group, 1 for itself and for the same pixels.
    """

    score: Score
    similarity: float


def group_photos(
    scores: Iterable[Score], embed: Embed, sketch: Embed, reference: Array | None, same: float
) -> list[list[Similar]]:
    """Group scored files that show the same, the best first in each and of all.

    Args:
        scores: those without a path or with an error are left out.
        embed: paths to features.
        sketch: paths to sketches.
        reference: features of photos of all kinds; without them, the photos themselves.
        same: lowest similarity within a group.
    """
    scored = [s for s in scores if s.path is not None and s.value is not None]
    copies: dict[str, list[Score]] = {}
    features: list[Array] = []
    for s, embedded in zip(scored, embed([str(s.path) for s in scored]), strict=True):
        if embedded.feature is None or embedded.photo_id is None:
            continue  # it has gone since it was scored
        if embedded.photo_id not in copies:
            features.append(embedded.feature)
        copies.setdefault(embedded.photo_id, []).append(s)
    if not copies:
        return []
    firsts = [same_pixels[0] for same_pixels in copies.values()]
    paths = [str(s.path) for s in firsts]
    stacked = np.stack(features)
    found = group_similar(
        whitened(stacked, stacked if reference is None else reference),
        _sketches(sketch(paths), len(paths)),
        [s.order for s in firsts],
        np.array([_taken(path) for path in paths]),
        same,
    )
    contents = list(copies.values())
    return [
        [Similar(s, similarity) for i, similarity in group for s in contents[i]] for group in found
    ]


def _sketches(embedded: Iterable[Embedded], count: int) -> NDArray[np.uint8]:
    sketches = np.zeros((count, SIDE * SIDE), np.uint8)
    for i, e in enumerate(embedded):
        if e.feature is not None:
            sketches[i] = e.feature
    return sketches


def _taken(path: str) -> float:
    """Seconds on the camera's clock; NaN where they are not known."""
    try:
        taken = read_embedded(Path(path)).taken
    except XmpError:
        return float("nan")
    return float("nan") if taken is None else (taken - _EPOCH).total_seconds()
