"""How fast a taste is learned: photos chosen by ``suggest`` against photos at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.evaluate.figures import curve_plot
from aesmamba_sdk.evaluate.heads import Case, auto
from aesmamba_sdk.evaluate.piaa import Draw, Rotation, draw_groups
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.evaluate.statistics import Estimate, bootstrap
from aesmamba_sdk.personalize.bayes import Evidence, Observations, Posterior
from aesmamba_sdk.personalize.space import Matrix
from aesmamba_sdk.personalize.suggest import choose
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.people import RatedPhotos

SHOTS = (5, 10, 20, 30, 50)
POOL = 140
"""Photos to choose from: what people rated beside their query photos, or nearly all of it."""
_FEW, _MANY = 20, 30
"""So many chosen ratings are to be worth so many random ones."""
ARMS = ("random", "chosen")
FIGURES = ("MAE", "MAE beyond level", "variance")
"""Of the query photos: mean error; the same once the mean of the person's errors is taken off, so
that their level does not count; and the variance of the scores that the ratings leave."""
_WANTED = ("MAE", "variance")

Curves = dict[str, NDArray[np.float64]]
"""Arm to (people, shots, figures)."""


def learning_curves(
    groups: Sequence[RatedPhotos],
    scale: Scale,
    *,
    repeats: int,
    people: int | None,
    seed: int,
    progress: Progress | None = None,
) -> Curves:
    """Both arms on the same people, query photos and pools of photos to rate.

    Raises:
        DatasetError: nobody rated enough photos.
    """
    found: dict[str, dict[tuple[int, int], list[list[tuple[float, ...]]]]]
    found = {arm: {} for arm in ARMS}
    drawn = draw_groups(groups, POOL, repeats, people, seed)
    for test, (group, draws) in enumerate(zip(groups, drawn, strict=True)):
        rotation = Rotation(groups, test, scale, seed)
        stranger = _stranger(rotation)
        for done, draw in enumerate(draws, 1):
            orders = draw.rest, chosen_order(rotation, stranger, draw)
            for arm, order in zip(ARMS, orders, strict=True):
                case = rotation.case(replace(draw, rest=order), max(SHOTS))
                curve = [
                    _figures(replace(case, support=order[:count]), stranger) for count in SHOTS
                ]
                found[arm].setdefault((test, draw.person), []).append(curve)
            if progress is not None:
                progress(f"people of {group.name}", done, len(draws))
    return {
        arm: np.array([np.mean(curves, axis=0) for curves in people_.values()])
        for arm, people_ in found.items()
    }


def chosen_order(rotation: Rotation, stranger: Posterior, draw: Draw) -> NDArray[np.int64]:
    """The first of the pool as ``suggest`` would have a stranger rate it.

    The library is what the person rated, query photos too; these cannot be chosen.
    """
    library = np.r_[draw.rest, draw.query]
    eligible = np.isin(library, draw.rest)
    rows, _ = choose(stranger, _design(rotation, library), max(SHOTS), eligible)
    order: NDArray[np.int64] = library[rows]
    return order


def learning_result(curves: Curves, seed: int, picture: Path | None = None) -> Result:
    """Both curves as a table and, where asked for, as a picture; and the bar."""
    estimates = {
        (arm, i): [_mean(curve[:, at, i], seed) for at in range(len(SHOTS))]
        for arm, curve in curves.items()
        for i in range(len(FIGURES))
    }
    columns = ("ratings", *(f"{name}, {arm}" for name in FIGURES for arm in ARMS))
    table = Table("Ratings of photos at random, and of chosen ones [95 %]", columns, decimals=3)
    for at, count in enumerate(SHOTS):
        cells = [estimates[arm, i][at] for i in range(len(FIGURES)) for arm in ARMS]
        table.add(count, *cells)
    few, many = SHOTS.index(_FEW), SHOTS.index(_MANY)
    result = Result("suggest", tables=[table])
    for i, name in enumerate(FIGURES):
        lead = curves["random"][:, many, i] - curves["chosen"][:, few, i]
        gain = _mean(lead, seed)
        what = f"{name} of {_MANY} random ratings less {_FEW} chosen"
        table.notes.append(f"{what}: {gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}]")
        if name in _WANTED:
            result.bars.append(Bar(what, gain.value, 0.0))
    if picture is not None:
        series = {
            f"{arm} photos{', without the error of the level' if i else ''}": estimates[arm, i]
            for i in (0, 1)
            for arm in ARMS
        }
        curve_plot(picture, SHOTS, series, "ratings", "mean error of unseen photos, scale 1-5")
    return result


def _stranger(rotation: Rotation) -> Posterior:
    """What is known of someone who has not rated anything."""
    prior = rotation.fitted.prior
    nothing = Observations.of(np.zeros((0, len(prior.mean))), np.zeros(0))
    return Evidence(prior, nothing).posterior()


def _design(rotation: Rotation, photos: NDArray[np.int64]) -> Matrix:
    base = rotation.fitted
    return base.prior.design(rotation.group.features[photos], base.scores[photos])


def _figures(case: Case, stranger: Posterior) -> tuple[float, ...]:
    mean = auto(case).mean.clip(case.scale.low, case.scale.high)
    missed = mean - case.ratings[case.query]
    base = case.fitted
    rated, asked = (
        base.prior.design(case.features[rows], base.scores[rows])
        for rows in (case.support, case.query)
    )
    return (
        float(np.abs(missed).mean()),
        float(np.abs(missed - missed.mean()).mean()),
        variance_left(stranger, rated, asked),
    )


def variance_left(posterior: Posterior, rated: Matrix, asked: Matrix) -> float:
    """Mean variance of the scores of ``asked`` (m, p) once ``rated`` (n, p) are rated.

    The noise of a rating is the posterior's: what the ratings would say of it is left out, so that
    photos that are easy to rate do not pass for photos that teach.
    """
    spread = asked @ posterior.covariance
    between = spread @ rated.T
    noisy = rated @ posterior.covariance @ rated.T + posterior.noise * np.eye(len(rated))
    taken = np.einsum("mn,nm->m", between, np.linalg.solve(noisy, between.T))
    return float((np.einsum("mp,mp->m", spread, asked) - taken).mean())


def _mean(values: NDArray[np.float64], seed: int) -> Estimate:
    return bootstrap(lambda rows: values[rows].mean(), len(values), seed)[0]
