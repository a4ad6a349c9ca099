"""How fast a taste is learned: photos chosen by ``suggest`` against photos at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.evaluate.figures import curve_plot
from aesmamba_sdk.evaluate.heads import Case, auto
from aesmamba_sdk.evaluate.piaa import Draw, Rotation, draw_support
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.evaluate.statistics import Estimate, bootstrap
from aesmamba_sdk.personalize.bayes import Evidence, Observations
from aesmamba_sdk.personalize.suggest import choose
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.people import RatedPhotos

SHOTS = (5, 10, 20, 30, 50)
POOL = 100
_FEW, _MANY = 20, 30
"""So many chosen ratings are to be worth so many random ones."""
ARMS = ("random", "chosen")

Curves = dict[str, NDArray[np.float64]]
"""Arm to (people, shots, figures): mean error, and variance of a
rating around its score, both of the query photos."""


def learning_curves(
    groups: Sequence[RatedPhotos],
    scale: Scale,
    *,
    repeats: int,
    people: int | None,
    seed: int,
    progress: Progress | None = None,
) -> Curves:
    """Both arms on the same people, query photos and pools of 100 photos to rate."""
    found: dict[str, dict[tuple[int, int], list[list[tuple[float, float]]]]]
    found = {arm: {} for arm in ARMS}
    for test, group in enumerate(groups):
        rotation = Rotation(groups, test, scale, seed)
        draws = list(draw_support(group.ratings, POOL, repeats, people, seed))
        for done, draw in enumerate(draws, 1):
            for arm, order in zip(ARMS, (draw.rest, chosen_order(rotation, draw)), strict=True):
                case = rotation.case(replace(draw, rest=order), max(SHOTS))
                curve = [_figures(replace(case, support=order[:count])) for count in SHOTS]
                found[arm].setdefault((test, draw.person), []).append(curve)
            if progress is not None:
                progress(f"people of {group.name}", done, len(draws))
    return {
        arm: np.array([np.mean(curves, axis=0) for curves in people_.values()])
        for arm, people_ in found.items()
    }


def chosen_order(rotation: Rotation, draw: Draw) -> NDArray[np.int64]:
    """The pool as ``suggest`` would have a stranger rate it."""
    prior, scores = rotation.fitted.prior, rotation.fitted.scores
    design = prior.design(rotation.group.features[draw.rest], scores[draw.rest])
    nothing = Observations.of(design[:0], np.zeros(0))
    rows, _ = choose(Evidence(prior, nothing).posterior(), design, max(SHOTS))
    return draw.rest[rows]


def learning_result(curves: Curves, seed: int, picture: Path | None = None) -> Result:
    """Both curves as a table and, where asked for, as a picture; and the bar."""
    columns = ("ratings", "MAE, random", "MAE, chosen", "variance, random", "variance, chosen")
    table = Table("Ratings of photos at random, and of chosen ones [95 %]", columns, decimals=3)
    estimates = {
        (arm, figure): [_mean(curve[:, i, figure], seed) for i in range(len(SHOTS))]
        for arm, curve in curves.items()
        for figure in (0, 1)
    }
    for i, count in enumerate(SHOTS):
        cells = [estimates[arm, figure][i] for figure in (0, 1) for arm in ARMS]
        table.add(count, *cells)
    few, many = SHOTS.index(_FEW), SHOTS.index(_MANY)
    result = Result("suggest", tables=[table])
    for figure, name in enumerate(("MAE", "variance")):
        lead = curves["random"][:, many, figure] - curves["chosen"][:, few, figure]
        gain = _mean(lead, seed)
        table.notes.append(
            f"{name} of {_MANY} random less {_FEW} chosen: "
            f"{gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}]"
        )
        what = f"{name} of {_MANY} random ratings less {_FEW} chosen"
        result.bars.append(Bar(what, gain.value, 0.0))
    if picture is not None:
        series = {f"{arm} photos": estimates[arm, 0] for arm in ARMS}
        curve_plot(picture, SHOTS, series, "ratings", "mean error of unseen photos, scale 1-5")
    return result


def _figures(case: Case) -> tuple[float, float]:
    predicted = auto(case)
    assert predicted.std is not None
    clipped = predicted.mean.clip(case.scale.low, case.scale.high)
    error = float(np.abs(clipped - case.ratings[case.query]).mean())
    return error, float(np.square(predicted.std).mean())


def _mean(values: NDArray[np.float64], seed: int) -> Estimate:
    return bootstrap(lambda rows: values[rows].mean(), len(values), seed)[0]
