"""What the PIAA protocol found, as tables and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.evaluate.heads import METHODS
from aesmamba_sdk.evaluate.piaa import Measured
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.evaluate.statistics import Estimate, Runs, bootstrap

HARM = 0.02
"""SRCC below the generic score's that counts as harm, if a person's whole interval lies there."""
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's distribution, of 1 degree of freedom and more."""
_NORMAL_95 = 1.96
_OF_USERS = {"the shipped score": "shipped score", "auto": "auto on the shipped score"}
_NEVER_WORSE, _GAIN, _HARMED, _MAE = -0.002, 0.035, 5.0, 12.0

Found = Mapping[tuple[str, int], Measured]


def piaa_result(found: Found, seed: int) -> Result:
    """Tables at each number of shots, paired gains, and the bars of 10 and 100 shots."""
    shots = sorted({count for _, count in found})
    result = Result("piaa")
    for count in shots:
        result.tables += [accuracy_table(found, count), gain_table(found, count, seed)]
        if slow := [name for name in _at(found, count) if name not in METHODS]:
            result.tables.append(network_table(found, slow, count, seed))
    result.bars = bars(found, shots, seed)
    return result


def accuracy_table(found: Found, shots: int) -> Table:
    """PLCC, SRCC, errors, coverage and time; mean over people, then mean and deviation of runs."""
    columns = ("method", "PLCC", "SRCC", "MAE", "below mean's, %", "80 % holds, %", "ms")
    table = Table(f"{shots} shots, mean over people ± sd over repeats", columns, decimals=4)
    for name, measured in _at(found, shots).items():
        error, by_mean = (measured.figures[key].mean() for key in ("mae", "mean_mae"))
        coverage = measured.figures["coverage"].mean()
        table.add(
            name,
            _runs(measured, "plcc"),
            _runs(measured, "srcc"),
            _runs(measured, "mae"),
            f"{100 * (1 - error / by_mean):.1f}",
            None if np.isnan(coverage) else f"{100 * coverage:.1f}",
            f"{1000 * measured.figures['seconds'].mean():.1f}",
        )
    table.notes.append(
        "MAE on the scale 1-5; the mean is the person's own mean rating of the support photos"
    )
    return table


def gain_table(found: Found, shots: int, seed: int) -> Table:
    """Each method's SRCC less that of the generic head, paired by person."""
    columns = ("method", "gain in SRCC [95 %]", "harmed, %", "worst person")
    table = Table(f"{shots} shots, against the generic head", columns, decimals=4)
    for name in _at(found, shots):
        if name != "generic":
            gains = gains_of(found, name, "generic", shots)
            worst = float(gains.mean(1).min())
            table.add(name, _mean(gains, seed), f"{harmed(gains):.1f}", worst)
    table.notes.append(
        f"interval by bootstrap over people; harmed: a person's own 95 % interval over repeats "
        f"lies below -{HARM}"
    )
    return table


def network_table(found: Found, names: Sequence[str], shots: int, seed: int) -> Table:
    """Methods that train a network beside what a user gets in no time, paired by person."""
    columns = ("method", *(f"{x} over {y} [95 %]" for x in ("SRCC", "MAE") for y in _OF_USERS))
    table = Table(
        f"{shots} shots, networks against what the SDK does by itself", columns, decimals=4
    )
    for name in names:
        pairs = [(figure, base) for figure in ("srcc", "mae") for base in _OF_USERS.values()]
        gains = [differences(found, name, base, shots, figure) for figure, base in pairs]
        table.add(name, *(_mean(gain, seed) for gain in gains))
    people = len(found[names[0], shots].by_person("srcc"))
    table.notes.append(f"{people} people; all start from the shipped score; a lower MAE is better")
    return table


def bars(found: Found, shots: list[int], seed: int) -> list[Bar]:
    """What has to be reached at 10 and at 100 shots."""
    reached = []
    for count in shots:
        gains = gains_of(found, "auto", "generic", count)
        gain = _mean(gains, seed)
        over_ridge = _mean(gains_of(found, "auto", "residual ridge", count), seed)
        auto = found["auto", count].figures
        error = 100 * (1 - auto["mae"].mean() / auto["mean_mae"].mean())
        covered = 100 * float(auto["coverage"].mean())
        at = f"{count} shots: "
        if count <= 10:
            reached.append(Bar(f"{at}gain of auto, low end", gain.low, _NEVER_WORSE, "above"))
            reached.append(Bar(f"{at}MAE below the mean's, %", float(error), _MAE))
        if count >= 100:
            reached.append(Bar(f"{at}gain of auto", gain.value, _GAIN))
            reached.append(Bar(f"{at}gain of auto, low end", gain.low, 0, "above"))
        reached += [
            Bar(f"{at}auto over residual ridge, low end", over_ridge.low, 0, "above"),
            Bar(f"{at}people harmed by auto, %", harmed(gains), _HARMED, "at most"),
            Bar(f"{at}80 % intervals hold, %", covered, 75.0),
            Bar(f"{at}80 % intervals hold, %", covered, 85.0, "at most"),
        ]
    return reached


def gains_of(found: Found, method: str, base: str, shots: int) -> NDArray[np.float64]:
    """Paired differences of SRCC, (people, repeats)."""
    return differences(found, method, base, shots, "srcc")


def differences(
    found: Found, method: str, base: str, shots: int, figure: str
) -> NDArray[np.float64]:
    """Paired differences of a figure, (people, repeats)."""
    ours, theirs = found[method, shots], found[base, shots]
    return ours.by_person(figure) - theirs.by_person(figure)


def harmed(gains: NDArray[np.float64]) -> float:
    """Percentage of people whose mean gain surely lies below the harm; 0 of a single repeat."""
    repeats = gains.shape[1]
    if repeats < 2:
        return 0.0
    spread = gains.std(1, ddof=1) / np.sqrt(repeats) * _t_95(repeats - 1)
    return 100 * float((gains.mean(1) + spread < -HARM).mean())


def _t_95(freedom: int) -> float:
    """Half of a 95 % interval of a mean, in its standard errors."""
    if freedom <= len(_T_95):
        return _T_95[freedom - 1]
    z = _NORMAL_95  # Abramowitz & Stegun 26.7.5
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _mean(gains: NDArray[np.float64], seed: int) -> Estimate:
    by_person = gains.mean(1)
    return bootstrap(lambda rows: by_person[rows].mean(), len(by_person), seed)[0]


def _runs(measured: Measured, figure: str) -> Runs:
    return Runs.of(measured.by_person(figure).mean(0))


def _at(found: Found, shots: int) -> dict[str, Measured]:
    return {name: measured for (name, count), measured in found.items() if count == shots}
