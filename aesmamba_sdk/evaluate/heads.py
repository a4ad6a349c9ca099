"""The rows of the PIAA tables: from one person's support photos to scores of their query photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.personalize.auto import fit_auto
from aesmamba_sdk.personalize.bayes import Evidence, Observations, Posterior
from aesmamba_sdk.personalize.blend import Affine, Vector
from aesmamba_sdk.personalize.taste import TastePrior
from aesmamba_sdk.scores import Scale

_STRENGTHS = 10.0 ** np.arange(-2.0, 4.0, 0.5)


@dataclass(frozen=True)
class Baseline:
    """A generic score, (n,), of all photos of the tested group, and the prior that goes with it."""

    scores: Vector
    prior: TastePrior


@dataclass(frozen=True)
class Prediction:
    """Scores of the query photos, (50,), and their deviations where a method knows them."""

    mean: Vector
    std: Vector | None = None


@dataclass(frozen=True)
class Case:
    """One person, one draw.

    Attributes:
        features: f_v of the group's photos, (n, d).
        ratings: this person's, (n,).
        support, query: columns.
        fitted: generic head fitted to the training people.
        shipped: the model's own generic score.
        others: mean rating of everybody else, (n,).
        scale: of scores and ratings.
        prompt: what is told of the person.
        load: decodes a photo of the group, where the dataset has photos at hand.
    """

    features: NDArray[np.float32]
    ratings: Vector
    support: NDArray[np.int64]
    query: NDArray[np.int64]
    fitted: Baseline
    shipped: Baseline
    others: Vector
    scale: Scale
    prompt: str = ""
    load: Callable[[int], Image.Image] | None = None

    def said(self, base: Baseline) -> Observations:
        rows = self.support
        design = base.prior.design(self.features[rows], base.scores[rows])
        return Observations.of(design, self.ratings[rows])

    def predict(self, base: Baseline, posterior: Posterior) -> Prediction:
        design = base.prior.design(self.features[self.query], base.scores[self.query])
        return Prediction(*posterior.predict(design))


def generic(case: Case) -> Prediction:
    return Prediction(case.fitted.scores[case.query])


def shipped(case: Case) -> Prediction:
    return Prediction(case.shipped.scores[case.query])


def unrated(case: Case) -> Prediction:
    """What the prior expects of anyone: the head before the first rating."""
    prior, rows = case.fitted.prior, case.query
    return Prediction(prior.design(case.features[rows], case.fitted.scores[rows]) @ prior.mean)


def affine(case: Case) -> Prediction:
    scores = case.fitted.scores
    fit = Affine.fit(scores[case.support], case.ratings[case.support], case.scale.unit)
    return Prediction(fit(scores[case.query]))


def residual_ridge(case: Case) -> Prediction:
    """Ridge regression of what the affine score leaves, its strength by leaving one out."""
    scores = case.fitted.scores
    fit = Affine.fit(scores[case.support], case.ratings[case.support], case.scale.unit)
    rest = case.ratings[case.support] - fit(scores[case.support])
    spread = case.features.std(0) + 1e-6
    x = (case.features - case.features.mean(0)) / (spread * np.sqrt(case.features.shape[1]))
    support = x[case.support]
    values, vectors = np.linalg.eigh(support @ support.T)
    turned = vectors.T @ rest
    shrinks = 1 / (values.clip(0) + _STRENGTHS[:, None])  # (strengths, n)
    weighed = (shrinks * turned) @ vectors.T
    errors = weighed / (shrinks @ np.square(vectors.T))
    best = int(np.square(errors).mean(1).argmin())
    added = x[case.query] @ (support.T @ weighed[best])
    return Prediction(fit(scores[case.query]) + added)


def bayes(case: Case) -> Prediction:
    return case.predict(
        case.fitted, Evidence(case.fitted.prior, case.said(case.fitted)).posterior()
    )


def auto(case: Case) -> Prediction:
    return _auto(case, case.fitted)


def auto_shipped(case: Case) -> Prediction:
    return _auto(case, case.shipped)


def oracle(case: Case) -> Prediction:
    return Prediction(case.others[case.query])


def _auto(case: Case, base: Baseline) -> Prediction:
    scores, groups = base.scores[case.support], [str(row) for row in case.support]
    head, _, _ = fit_auto(base.prior, case.said(base), scores, groups, case.scale.unit)
    return case.predict(base, head)


Row = Callable[[Case], Prediction]
METHODS: Mapping[str, Row] = {
    "generic": generic,
    "shipped score": shipped,
    "no ratings yet": unrated,
    "affine": affine,
    "residual ridge": residual_ridge,
    "bayes": bayes,
    "auto": auto,
    "auto on the shipped score": auto_shipped,
    "oracle": oracle,
}
