"""Which photos to rate next: those whose ratings would leave the least doubt about all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.personalize.bayes import Posterior
from aesmamba_sdk.personalize.space import Matrix


@dataclass(frozen=True)
class Suggestion:
    """One photo to rate.

    Attributes:
        path: as it was given.
        score: what the person would rate it, as far as is known.
        std: how far their rating may lie from that.
        doubt: mean variance of all photos' scores that is left once this one and those before it
            are rated, as a share (0-1) of what it is now.
    """

    path: str
    score: float
    std: float
    doubt: float


def choose(
    posterior: Posterior, design: Matrix, count: int, eligible: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], list[float]]:
    """Rows to rate, one after the other, and the share of doubt that each leaves.

    Greedy: each takes the most of the summed variance of all photos' scores, given those chosen
    before. What will be said does not matter, only which photos: the model is linear.

    Args:
        posterior: of the person's weights, or the prior's own.
        design: (n, p) of the photos whose scores are to be known.
        count: how many; all that are eligible at most.
        eligible: (n,) which photos may be chosen; all by default.
    """
    closed = np.zeros(len(design), np.bool_) if eligible is None else ~eligible
    size, turn = np.linalg.eigh(posterior.covariance)
    photos = design @ (turn * np.sqrt(size.clip(0.0)))  # scores vary as photos · N(0, 1)
    together = photos.T @ photos
    left = np.eye(photos.shape[1])
    start = float(np.trace(together))
    chosen: list[int] = []
    doubts: list[float] = []
    for _ in range(min(count, int((~closed).sum()))):
        moved = photos @ left
        variance = np.einsum("np,np->n", moved, photos)
        taken = np.einsum("np,pq,nq->n", moved, together, moved, optimize=True)
        gain = taken / (variance + posterior.noise)
        best = int(np.where(closed, -np.inf, gain).argmax())
        closed[best] = True
        chosen.append(best)
        left -= np.outer(moved[best], moved[best]) / (variance[best] + posterior.noise)
        doubts.append(float(np.einsum("pq,qp->", together, left)) / max(start, 1e-12))
    return np.array(chosen, np.int64), doubts
