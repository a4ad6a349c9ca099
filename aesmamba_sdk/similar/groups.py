"""Groups of photos that show the same, the best of each first.

Two measures have to agree. Features of the encoder, whitened by photos of all kinds, find
candidates however they are framed, but change with exposure and sharpness, which is what the
encoder is there for; sketches see through these, and look alike for many plain pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.similar.sketch import SIDE, alignment

Array = NDArray[np.float32]

SAME = 0.8
"""Photos of at least this similarity show the same; docs/library.md has the figures."""
SAME_MOMENT = 0.15
"""So much less is enough for photos of one moment, of which few are different ones."""
MOMENT = 60.0
"""Seconds between photos of one moment."""
_MOST = 16
"""Groups that a photo is compared with, the likeliest ones."""
_DIMENSIONS = 128


def whitened(features: Array, reference: Array) -> Array:
    """Unit vectors in which the reference photos vary alike in every direction.

    Args:
        features: (n, d).
        reference: features of photos of all kinds, (m, d).

    Returns:
        (n, k), with k at most 128 and less than m.
    """
    mean = reference.mean(0)
    _, scales, directions = np.linalg.svd(reference - mean, full_matrices=False)
    kept = min(_DIMENSIONS, int((scales > scales[:1] * 1e-5).sum()))
    turned = (features - mean) @ (directions[:kept] / scales[:kept, None]).T
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    return np.asarray(turned / np.maximum(lengths, 1e-12), np.float32)


def group_similar(
    vectors: Array,
    sketches: NDArray[np.uint8],
    values: Sequence[float],
    taken: NDArray[np.float64],
    same: float = SAME,
) -> list[list[tuple[int, float]]]:
    """Group photos around the best ones.

    The photos are taken from best to worst: each joins the most similar group leader, or leads a
    group of its own. So every photo is similar to the best of its group, not only to some other.

    Args:
        vectors: unit vectors, (n, k).
        sketches: (n, SIDE * SIDE), or none of a photo as zeros, which then stays alone.
        values: scores, by which the best are the best.
        taken: times in seconds, NaN where they are not known.
        same: lowest similarity, the mean of both measures, within a group; ``SAME_MOMENT`` less
            for photos taken within ``MOMENT`` of its best.

    Returns:
        Groups in order of their best photo: index and similarity to the best, 1 for itself.
    """
    groups: list[list[tuple[int, float]]] = []
    leaders = np.zeros_like(vectors)
    members: list[int] = []
    for i in np.argsort(-np.asarray(values), kind="stable").tolist():
        near = leaders[: len(groups)] @ vectors[i]
        at_once = np.abs(taken[members] - taken[i]) <= MOMENT
        bars = np.where(at_once, same - SAME_MOMENT, same)
        # Sketches agree by 1 at most, so less cannot be enough.
        likely = np.flatnonzero(near >= 2 * bars - 1)
        likely = likely[np.argsort(-near[likely], kind="stable")[:_MOST]]
        if len(likely):
            others = sketches[[members[j] for j in likely]]
            seen = alignment(_square(sketches[i : i + 1])[0], _square(others))
            similar = (near[likely] + seen) / 2
            best = int((similar - bars[likely]).argmax())
            if similar[best] >= bars[likely][best]:
                groups[likely[best]].append((i, float(similar[best])))
                continue
        leaders[len(groups)] = vectors[i]
        members.append(i)
        groups.append([(i, 1.0)])
    return groups


def _square(sketches: NDArray[np.uint8]) -> Array:
    return sketches.reshape(-1, SIDE, SIDE).astype(np.float32)
