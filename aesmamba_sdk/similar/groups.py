"""Groups of photos that show the same, the best of each first.

Two measures have to agree. Features of the encoder, whitened by photos of all kinds, find
candidates however they are framed, but change with exposure and sharpness, which is what the
encoder is there for; sketches see through these, and look alike for many plain pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.similar.sketch import SIDE, Rows, alignments

Array = NDArray[np.float32]

SAME = 0.8
"""Photos of at least this similarity show the same; docs/library.md has the figures."""
SAME_MOMENT = 0.15
"""So much less is enough for photos of one moment, of which few are different ones."""
MOMENT = 60.0
"""Seconds between photos of one moment."""
_MOST = 16
"""Groups that a photo is compared with, the likeliest ones."""
_BLOCK = 32
"""Photos that are compared at once, also with each other, in case that one comes to lead."""
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
    order = np.argsort(-np.asarray(values), kind="stable")
    vectors, sketches, taken = vectors[order], sketches[order], taken[order]
    groups: dict[int, list[tuple[int, float]]] = {}
    leads = np.zeros(len(order), bool)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        leads[start:end] = True  # any of them may, until it joins another
        near = vectors[start:end] @ vectors[:end].T
        at_once = np.abs(taken[start:end, None] - taken[:end]) <= MOMENT
        bars = np.where(at_once, same - SAME_MOMENT, same)
        # Sketches agree by 1 at most, so less cannot be enough.
        possible = (near >= 2 * bars - 1) & leads[:end]
        likely = [
            _likeliest(near[row], possible[row], start, start + row) for row in range(end - start)
        ]
        seen = _seen(sketches, likely, start)
        for i, others, alike in zip(range(start, end), likely, seen, strict=True):
            actual = np.flatnonzero(leads[others])[:_MOST]
            others = others[actual]
            similar = (near[i - start, others] + alike[actual]) / 2
            margins = similar - bars[i - start, others]
            best = int(margins.argmax()) if len(margins) else -1
            if best >= 0 and margins[best] >= 0:
                groups[int(others[best])].append((int(order[i]), float(similar[best])))
                leads[i] = False
            else:
                groups[i] = [(int(order[i]), 1.0)]
    return list(groups.values())


def _likeliest(near: Array, possible: NDArray[np.bool_], start: int, i: int) -> Rows:
    """Whom photo ``i`` may join, the nearest first.

    Behind the 16th that leads for sure, nobody is looked at; those from ``start`` on may not lead.
    """
    others = np.flatnonzero(possible[:i])
    others = others[np.argsort(-near[others], kind="stable")]
    return others[np.cumsum(others < start) <= _MOST]


def _seen(sketches: NDArray[np.uint8], others: Sequence[Rows], start: int) -> list[Array]:
    """How well each photo from ``start`` on agrees with these others."""
    counts = [len(rows) for rows in others]
    first = np.repeat(np.arange(start, start + len(others)), counts)
    used, places = np.unique(np.concatenate([first, *others]), return_inverse=True)
    one, other = np.split(places, 2)
    return np.split(alignments(_square(sketches[used]), one, other), np.cumsum(counts)[:-1])


def _square(sketches: NDArray[np.uint8]) -> Array:
    return sketches.reshape(-1, SIDE, SIDE).astype(np.float32)
