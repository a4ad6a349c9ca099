"""Learns the prior over people that every personal head starts from.

    python -m aesmamba_sdk.train.taste --data oasis=FOLDER --model pretrained/nano

How raters of the same photos differ comes down to latent factors. Their loadings are known on those
photos alone; regressed on a view of these they carry over to any photo, as far as what is kept of
photos tells them, and the regression's own uncertainty becomes part of the prior.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.space import Matrix, PhotoSpace
from aesmamba_sdk.personalize.taste import TASTE_FILE, TastePrior
from aesmamba_sdk.train.data import named_folder
from aesmamba_sdk.train.people import RatedPhotos, read_people

FACTORS = 30
DIRECTIONS = 128
_SHARE = 0.4
"""How much of what the average rater adds to the generic score is expected of anyone.

Not all: people who rate photos of another kind, which the generic score may know better, need not
agree, and their ratings tell (docs/personalization.md has both sides).
"""
_SLOPE_KEPT = 0.5
"""Share of the generic score's slope that what they add does not replace.

Photos unlike all known ones have nothing but the generic score to go by.
"""
_SHIFT_VARIANCE = 0.25
"""Over people, of the share they take in what the average rater adds to the generic score."""
_RATIOS = 10.0 ** np.arange(-6.0, 3.0, 0.25)


@dataclass(frozen=True)
class _Regression:
    """Ridge regressions of several targets, each as strong as its evidence wants.

    Attributes:
        weights: (k, targets).
        covariance: of the weights, summed over targets, (k, k).
        left: (n, targets) what each sample's target misses when predicted without it.
    """

    weights: Matrix
    covariance: Matrix
    left: Matrix


def fit_prior(
    groups: Sequence[RatedPhotos], backbone: str, source: str, *, share: float = _SHARE
) -> TastePrior:
    """The prior over heads that these people's ratings support.

    Args:
        groups: people and photos; people of one group rated the same photos.
        backbone: hash of the shared model that features and generic scores are of.
        source: whose ratings these are.
        share: of what these people add to the generic score, expected of anyone (0-1): 1 where
            the generic score was learned from them, too, and knows nothing that they do not.
    """
    features = np.concatenate([group.features for group in groups])
    space = PhotoSpace.of(features, groups[0].axes)
    basis = space.basis()
    center = (space(features) @ basis).mean(0)
    coordinates = [space(group.features) @ basis - center for group in groups]
    unseen = space.unseen() @ basis - center

    generic_center = float(np.concatenate([group.generic for group in groups]).mean())
    common, shift = _consensus(groups, coordinates, generic_center)
    slope = common[1] * (1 - share * (1 - _SLOPE_KEPT))
    factors = [_factors(g, z) for g, z in zip(groups, coordinates, strict=True)]
    taste = sum(f.weights @ f.weights.T + f.covariance for f in factors) / len(factors)
    roots = _strongest(taste + shift.covariance, unseen)
    directions = np.c_[shift.weights, roots]
    ones = np.ones(roots.shape[1])
    explained = float(np.einsum("nk,kl,nl->n", unseen, taste, unseen, optimize=True).mean())
    return TastePrior(
        backbone=backbone,
        space=space,
        projection=basis @ directions,
        offset=center @ directions,
        generic_center=generic_center,
        mean=np.r_[common[0], slope, share, 0 * ones],
        variance=np.r_[common[2:], _SHIFT_VARIANCE, ones],
        log_noise=_noise(groups, shift.left[:, 0], explained),
        source=source,
    )


def _strongest(covariance: Matrix, coordinates: Matrix) -> Matrix:
    """Columns whose products sum to the covariance, those that move scores most alone.

    Weights vary most where no photo showed them; what counts is how much scores vary.
    """
    sizes, directions = np.linalg.eigh(covariance)
    roots = directions * np.sqrt(sizes.clip(0.0))
    _, _, turn = np.linalg.svd(coordinates @ roots, full_matrices=False)
    strongest: Matrix = roots @ turn[:DIRECTIONS].T
    return strongest


def _consensus(
    groups: Sequence[RatedPhotos], coordinates: Sequence[Matrix], center: float
) -> tuple[tuple[float, float, float, float], _Regression]:
    """Mean and variance of people's offsets and slopes, and what all of them add to the score."""
    generic = np.concatenate([group.generic for group in groups]) - center
    usual = np.concatenate([np.nanmean(group.ratings, 0) for group in groups])
    within = _within(groups, generic)
    slope = float(within @ usual / (within @ within + 1e-9))
    beyond = usual - _SLOPE_KEPT * slope * generic
    offset = float(beyond.mean())
    shift = _regress(np.concatenate(coordinates), (beyond - offset)[:, None])
    offsets, slopes = [], []
    for group in groups:
        x = group.generic - group.generic.mean()
        rest = np.nan_to_num(group.ratings - np.nanmean(group.ratings, 1, keepdims=True))
        energy = np.where(np.isnan(group.ratings), 0.0, x**2).sum(1) + 1e-9
        own = rest @ x / energy
        noise = np.square(rest - own[:, None] * x).mean(1)
        offsets.append(np.nanmean(group.ratings, 1).var() - (noise / len(x)).mean())
        slopes.append(own.var() - (noise / energy).mean())
    wide, steep = (max(float(np.mean(found)), 0.01) for found in (offsets, slopes))
    return (offset, slope, wide, steep), shift


def _within(groups: Sequence[RatedPhotos], values: Vector) -> Vector:
    """Values less the mean of their group."""
    parts = np.split(values, np.cumsum([len(group.generic) for group in groups])[:-1])
    return np.concatenate([part - part.mean() for part in parts])


def _factors(group: RatedPhotos, coordinates: Matrix) -> _Regression:
    """Latent factors of how people differ, as far as features tell them."""
    own = group.ratings - np.nanmean(group.ratings, 1, keepdims=True)
    differences = np.nan_to_num(own - np.nanmean(own, 0))
    _, sizes, loadings = np.linalg.svd(differences, full_matrices=False)
    kept = min(FACTORS, len(sizes))
    scaled = loadings[:kept].T * sizes[:kept] / np.sqrt(len(differences))
    return _regress(coordinates, scaled)


def _regress(x: Matrix, targets: Matrix) -> _Regression:
    """Each target by Bayesian linear regression, noise and prior chosen by its evidence."""
    left, sizes, right = np.linalg.svd(x, full_matrices=False)
    energy = sizes**2
    turned = left.T @ targets  # (k, targets)
    rest = np.square(targets).sum(0) - np.square(turned).sum(0)
    weights = np.zeros((x.shape[1], targets.shape[1]))
    missed = np.zeros_like(targets)
    spread = np.zeros(len(sizes))
    beyond = 0.0
    for j in range(targets.shape[1]):
        prior, noise = _by_evidence(energy, turned[:, j], float(rest[j]), len(x))
        shrink = energy * prior / (energy * prior + noise)
        weights[:, j] = right.T @ (shrink * turned[:, j] / np.maximum(sizes, 1e-12))
        leverage = np.square(left) @ shrink
        missed[:, j] = (targets[:, j] - left @ (shrink * turned[:, j])) / (1 - leverage)
        spread += prior * noise / (energy * prior + noise)
        beyond += prior  # directions that no photo of the group shows stay as they were
    covariance = (right.T * (spread - beyond)) @ right + beyond * np.eye(x.shape[1])
    return _Regression(weights, covariance, missed)


def _by_evidence(energy: Vector, turned: Vector, rest: float, count: int) -> tuple[float, float]:
    """Prior variance of the weights and noise variance of the largest marginal likelihood."""
    best = (-np.inf, 0.0, 1.0)
    for ratio in _RATIOS / max(float(energy.mean()), 1e-12):
        sizes = ratio * energy + 1
        noise = float((np.square(turned) / sizes).sum() + max(rest, 0.0)) / count + 1e-12
        evidence = -0.5 * count * np.log(noise) - 0.5 * np.log(sizes).sum()
        best = max(best, (float(evidence), float(ratio * noise), noise))
    return best[1], best[2]


def _noise(
    groups: Sequence[RatedPhotos],
    missed: Vector,
    explained: float,
) -> tuple[float, float]:
    """Mean and deviation over people of the log variance that a head cannot explain.

    Photos differ from what features say of them for everyone alike (``missed``); to a person this
    is noise as well.
    """
    logs: list[NDArray[np.float64]] = []
    start = 0
    for group in groups:
        count = len(group.generic)
        usual = np.nanmean(group.ratings, 0) - missed[start : start + count]
        start += count
        own = group.ratings - usual
        variance = np.nanvar(own, 1)
        share = 1 - explained / max(float(variance.mean()), explained + 1e-9)
        logs.append(np.log(np.maximum(variance * max(share, 0.2), 1e-3)))
    together = np.concatenate(logs)
    sampling = 2.0 / max(2, int(np.mean([len(group.generic) for group in groups])) - 1)
    spread = float(np.sqrt(max(together.var() - sampling, 0.01)))
    return float(together.mean()), spread


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``taste.safetensors`` into a model's folder."""
    import torch

    from aesmamba_sdk.embeddings.cache import EmbeddingCache
    from aesmamba_sdk.model.backbone import Backbone
    from aesmamba_sdk.paths import embeddings_file, home_folder

    parser = argparse.ArgumentParser(prog="aesmamba_sdk.train.taste", description=__doc__)
    parser.add_argument("--data", default="oasis", help="NAME=FOLDER, or NAME in AESMAMBA_DATA")
    parser.add_argument("--model", type=Path, default=Path("pretrained/nano"))
    chosen = parser.parse_args(arguments)
    name, place = named_folder(chosen.data)
    backbone = Backbone(chosen.model, torch.device("cpu"))
    cache = EmbeddingCache(embeddings_file(home_folder()))
    groups = read_people(name, place, backbone, cache)
    people = sum(len(group.ratings) for group in groups)
    photos = sum(len(group.generic) for group in groups)
    source = f"{people} people and {photos} photos of {name}"
    fit_prior(groups, backbone.hash, source).save(chosen.model / TASTE_FILE)


if __name__ == "__main__":
    main()
