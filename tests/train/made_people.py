"""Made people whose taste depends on features in a few ways."""

from __future__ import annotations

import numpy as np

from aesmamba_sdk.train.people import RatedPhotos

FEATURES = 12


def group(name: str, people: int, photos: int, seed: int) -> RatedPhotos:
    """Tastes lie in two directions that all groups share; ratings on 1-5, some missing."""
    common = np.random.default_rng(99)
    liked = common.normal(size=FEATURES)
    directions = common.normal(size=(FEATURES, 2)) / np.sqrt(FEATURES)
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(photos, FEATURES)).astype(np.float32)
    generic = 3 + 0.1 * (features @ liked) + 0.1 * rng.normal(size=photos)
    tastes = rng.normal(size=(people, 2)) @ directions.T
    ratings = generic + rng.normal(0, 0.4, (people, 1)) + 0.8 * tastes @ features.T
    ratings += rng.normal(0, 0.6, ratings.shape)
    ratings = ratings.clip(1, 5)
    ratings[rng.random(ratings.shape) < 0.02] = np.nan
    return RatedPhotos(name, features, generic, ratings)
