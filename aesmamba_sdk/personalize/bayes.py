"""A person's head in closed form: the prior over people, updated by this person's ratings.

A linear Gaussian model on cached f_v. Ratings come as they are; choices between two photos come
in by a probit likelihood. How noisy a person is, and how far their taste lies from others', are
averaged over by their evidence. Needs numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.space import Matrix
from aesmamba_sdk.personalize.taste import TastePrior

_NOISES = np.linspace(-2.0, 2.0, 5)  # deviations of the log of the noise over people
_AMPLITUDES = np.array([1.0, 4.0, 16.0])
"""Taste may lie this much further from other people's, in variance."""
_LOG_AMPLITUDE_PRIOR = np.log([0.96, 0.035, 0.005])
_NEWTON_STEPS = 50  # at most; a few do but for thousands of choices against all that is expected
_SETTLED = 1e-6  # of a deviation of the weights
_FAR_BELOW = -20.0
_NEGLIGIBLE = 1e-3  # share of a hypothesis that is left out where each costs time


@dataclass(frozen=True)
class Posterior:
    """What is known of one person's weights.

    Attributes:
        mean: (p,).
        covariance: (p, p).
        noise: variance of a rating around the score.
    """

    mean: Vector
    covariance: Matrix
    noise: float

    def predict(self, design: Matrix) -> tuple[Vector, Vector]:
        """Mean and deviation of a rating of photos whose design is (n, p)."""
        variance = np.einsum("np,pq,nq->n", design, self.covariance, design, optimize=True)
        return design @ self.mean, np.sqrt(variance + self.noise)


@dataclass(frozen=True)
class Observations:
    """What a person said of photos.

    Attributes:
        design: (n, p) of the rated photos.
        ratings: (n,).
        chosen, passed: (m, p) designs of photos preferred and of those they were preferred to.
    """

    design: Matrix
    ratings: Vector
    chosen: Matrix
    passed: Matrix

    @classmethod
    def of(cls, design: Matrix, ratings: NDArray[Any]) -> Observations:
        """Ratings alone."""
        none = np.zeros((0, design.shape[1]))
        return cls(design, np.asarray(ratings, np.float64), none, none)


class Evidence:
    """The prior met with what a person said: one Gaussian model for each noise and amplitude.

    All share one eigenbasis, so that none costs more than a few products.

    Args:
        prior: over people.
        said: by this one.
    """

    def __init__(self, prior: TastePrior, said: Observations) -> None:
        center, spread = prior.log_noise
        noise, amplitude = np.meshgrid(np.exp(center + spread * _NOISES), _AMPLITUDES)
        self.noises = noise.ravel()
        self.amplitudes = amplitude.ravel()
        self.prior, self.said = prior, said
        self.root = np.sqrt(prior.variance)
        self.residual = said.ratings - said.design @ prior.mean
        # k = min(n, p) directions are all in which ratings can differ by more than noise.
        self.vectors, self.sizes, self.axes = np.linalg.svd(
            said.design * self.root, full_matrices=False
        )  # (n, k), (k,), (k, p)
        self.turned = self.vectors.T @ self.residual
        self.variances = self.amplitudes[:, None] * np.square(self.sizes) + self.noises[:, None]
        self.shares = self._shares()

    def posterior(self) -> Posterior:
        """The weights, averaged over noise and amplitude."""
        if len(self.said.chosen):
            return self._with_choices()
        gains = self.amplitudes[:, None] * self.sizes / self.variances  # (h, k)
        moves = (gains * self.turned) @ self.axes  # (h, p)
        move = self.shares @ moves
        off = moves - move
        known = (self.shares * self.amplitudes) @ (gains * self.sizes)
        unit = -(self.axes.T * known) @ self.axes
        unit += (off.T * self.shares) @ off
        unit[np.diag_indices_from(unit)] += self.shares @ self.amplitudes
        mean = self.prior.mean + self.root * move
        return Posterior(mean, self.root[:, None] * unit * self.root, self.noise)

    @property
    def noise(self) -> float:
        """Variance of a rating around the score."""
        return float(self.shares @ self.noises)

    def held_out(self, groups: Sequence[str]) -> tuple[Vector, Vector]:
        """Mean and deviation of every rating, predicted without those of its own group.

        Exact for given noise and amplitude; these are weighted by all the evidence.
        """
        _, members, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        noise = self.noises[:, None]
        told = 1 / noise - 1 / self.variances  # C^-1 = 1 / noise - vectors told vectors^T
        weighed = self.residual / noise - (told * self.turned) @ self.vectors.T  # C^-1 r, (h, n)
        diagonal = 1 / noise - told @ np.square(self.vectors.T)
        means = self.said.ratings - weighed / diagonal
        spreads = 1 / diagonal
        for group in np.flatnonzero(sizes > 1):
            rows = np.flatnonzero(members == group)
            part = self.vectors[rows]
            inverse = np.eye(len(rows)) / noise[..., None] - (part * told[:, None]) @ part.T
            blocks = np.linalg.inv(inverse)
            means[:, rows] = self.said.ratings[rows] - np.einsum(
                "hij,hj->hi", blocks, weighed[:, rows]
            )
            spreads[:, rows] = np.einsum("hii->hi", blocks)
        mean = self.shares @ means
        variance = self.shares @ (spreads + np.square(means - mean))
        return mean, np.sqrt(variance)

    def _shares(self) -> Vector:
        """Posterior probability of each hypothesis by the ratings."""
        log_prior = (_LOG_AMPLITUDE_PRIOR[:, None] - 0.5 * _NOISES**2).ravel()
        misfit = np.square(self.turned) / self.variances
        log_evidence = log_prior - 0.5 * (np.log(self.variances) + misfit).sum(1)
        beside = max(0.0, self.residual @ self.residual - self.turned @ self.turned)
        left = len(self.residual) - len(self.turned)  # directions in which there is noise alone
        log_evidence -= 0.5 * (left * np.log(self.noises) + beside / self.noises)
        shares = np.exp(log_evidence - log_evidence.max())
        normalised: Vector = shares / shares.sum()
        return normalised

    def _with_choices(self) -> Posterior:
        """As :meth:`posterior`, each hypothesis updated by the choices; shares stay."""
        pairs = self.said.chosen - self.said.passed
        mean = np.zeros_like(self.prior.mean)
        second = np.zeros((len(mean), len(mean)))
        for h in np.flatnonzero(self.shares > _NEGLIGIBLE):
            gain = self.amplitudes[h] * self.sizes / self.variances[h]
            center = self.prior.mean + self.root * ((gain * self.turned) @ self.axes)
            # A square root of the covariance: along an axis, noise / variance of it is left.
            left = np.sqrt(self.noises[h] / self.variances[h])
            narrowed = np.eye(len(mean)) - (self.axes.T * (1 - left)) @ self.axes
            factor = np.sqrt(self.amplitudes[h]) * self.root[:, None] * narrowed
            center, spread = _prefer(center, factor, pairs, float(self.noises[h]))
            mean += self.shares[h] * center
            second += self.shares[h] * (spread + np.outer(center, center))
        return Posterior(mean, second - np.outer(mean, mean), self.noise)


def _prefer(mean: Vector, factor: Matrix, pairs: Matrix, noise: float) -> tuple[Vector, Matrix]:
    """Laplace's approximation after choices: P(A over B) = Φ(difference / √(2 noise)).

    Newton's steps from what the ratings say, in units in which the weights are independent.

    Args:
        mean: of the weights, (p,).
        factor: F F^T is their covariance, (p, p).
        pairs: design of what was chosen less that of what was passed over, (m, p).
        noise: variance of a rating.
    """
    scale = np.sqrt(2 * noise)
    start, turned = pairs @ mean / scale, pairs @ factor / scale
    move = np.zeros(len(mean))
    for _ in range(_NEWTON_STEPS):
        apart = turned @ move
        slope, weight = _probit(start + apart)
        precision = np.eye(len(mean)) + (turned.T * weight) @ turned
        last, move = move, np.linalg.solve(precision, turned.T @ (weight * apart + slope))
        if np.abs(move - last).max() < _SETTLED:
            break
    return mean + factor @ move, factor @ np.linalg.solve(precision, factor.T)


def _probit(x: Vector) -> tuple[Vector, Vector]:
    """First derivative and negative second derivative of log Φ."""
    ratio = _mills(x)
    return ratio, np.maximum(ratio * (ratio + x), 1e-9)


def _mills(x: Vector) -> Vector:
    """φ(x) / Φ(x), also far below zero."""
    return np.array([_mills_of(float(value)) for value in x])


def _mills_of(x: float) -> float:
    if x < _FAR_BELOW:  # the first terms of its asymptotic series
        return -x - 1.0 / x
    density = math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return density / (0.5 * math.erfc(-x / math.sqrt(2)))
