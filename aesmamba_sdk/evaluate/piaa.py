"""PIAA on groups of raters: unseen people and unseen photos, 10 or 100 shots.

Train on all rating groups but one, test on the people of that one, rotate. Nothing is chosen on
query photos. Every method sees the same support and query photos.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.evaluate.generic import GenericHead
from aesmamba_sdk.evaluate.heads import METHODS, Baseline, Case, Row
from aesmamba_sdk.evaluate.kept import KeptFigures, Key
from aesmamba_sdk.metrics import plcc, srcc
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.people import RatedPhotos
from aesmamba_sdk.train.taste import fit_prior

QUERY = 50
FIGURES = ("plcc", "srcc", "mae", "mean_mae", "coverage", "seconds")
_NORMAL_80 = 1.2815515655446004


@dataclass(frozen=True)
class Draw:
    """One repeat of one person: which photos support and which are asked for.

    Attributes:
        person: row among the group's people.
        repeat: which.
        query: (50,) columns.
        rest: further columns, in the order in which they become support.
    """

    person: int
    repeat: int
    query: NDArray[np.int64]
    rest: NDArray[np.int64]


@dataclass
class Measured:
    """Figures of one method at one number of shots.

    Attributes:
        people: (n,) who, numbered over all groups.
        repeats: (n,).
        figures: name to (n,); NaN where a method does not give it.
    """

    people: NDArray[np.int64]
    repeats: NDArray[np.int64]
    figures: dict[str, NDArray[np.float64]]

    def by_person(self, figure: str) -> NDArray[np.float64]:
        """(people, repeats)."""
        _, person = np.unique(self.people, return_inverse=True)
        table = np.full((person.max() + 1, self.repeats.max() + 1), np.nan)
        table[person, self.repeats] = self.figures[figure]
        return table


def run_piaa(
    groups: Sequence[RatedPhotos],
    scale: Scale,
    *,
    shots: Sequence[int] = (10, 100),
    repeats: int = 10,
    people: int | None = None,
    seed: int = 42,
    slow: Mapping[str, Row] = MappingProxyType({}),
    kept: KeptFigures | None = None,
    progress: Progress | None = None,
) -> dict[tuple[str, int], Measured]:
    """Every method at every number of shots.

    Args:
        groups: ``generic`` is the model's shipped score.
        scale: of scores and ratings.
        shots: numbers of support photos.
        repeats: draws of support and query photos a person.
        people: test so many of each group at most, drawn by ``seed``; all by default.
        seed: of the draws and folds.
        slow: further methods by name, measured on the same cases.
        kept: where figures of ``slow`` are kept, and come from if they are known.
        progress: told how far it is.

    Raises:
        DatasetError: nobody rated enough photos.
    """
    kept = kept or KeptFigures()
    rows: dict[tuple[str, int], list[tuple[int, int, tuple[float, ...]]]] = {}
    draws = draw_groups(groups, max(shots), repeats, people, seed)
    total, done, first = sum(map(len, draws)), 0, 0
    for test, group in enumerate(groups):
        rotation = Rotation(groups, test, scale, seed)
        for draw in draws[test]:
            for count in shots:
                case = rotation.case(draw, count)
                measured = {name: _measure(method, case) for name, method in METHODS.items()}
                for name, method in slow.items():
                    key = Key(name, count, group.name, draw.person, draw.repeat)
                    figures = kept.get(key) or _measure(method, case)
                    kept.add(key, figures)
                    measured[name] = figures
                for name, figures in measured.items():
                    found = rows.setdefault((name, count), [])
                    found.append((first + draw.person, draw.repeat, figures))
            done += 1
            if progress is not None:
                progress("people", done, total)
        first += len(group.ratings)
    return {key: _collect(found) for key, found in rows.items()}


def draw_groups(
    groups: Sequence[RatedPhotos], shots: int, repeats: int, people: int | None, seed: int
) -> list[list[Draw]]:
    """As :func:`draw_support` of each group.

    Raises:
        DatasetError: in none is anybody whose ratings suffice.
    """
    draws = [list(draw_support(g.ratings, shots, repeats, people, seed)) for g in groups]
    if not any(draws):
        most = max(int((~np.isnan(group.ratings)).sum(1).max()) for group in groups)
        raise DatasetError(
            f"nobody rated {QUERY + shots} photos, {shots} to learn from and {QUERY} to be asked "
            f"for, and not all alike; the most that anybody rated are {most}"
        )
    return draws


def draw_support(
    ratings: NDArray[np.float64], shots: int, repeats: int, people: int | None, seed: int
) -> Iterator[Draw]:
    """Support and query photos of everyone whose ratings differ and suffice, or of some of them."""
    able = [
        person
        for person, given in enumerate(ratings)
        if (~np.isnan(given)).sum() >= QUERY + shots and np.nanmax(given) > np.nanmin(given)
    ]
    if people is not None:  # fewer are among those that more would be
        able = sorted(np.random.default_rng(seed).permutation(able)[:people].tolist())
    for person in able:
        rated = np.flatnonzero(~np.isnan(ratings[person]))
        for repeat in range(repeats):
            order = np.random.default_rng([seed, person, repeat]).permutation(rated)
            yield Draw(person, repeat, order[:QUERY], order[QUERY : QUERY + shots])


class Rotation:
    """One group tested, all others trained on: generic heads and priors, and cases of people."""

    def __init__(self, groups: Sequence[RatedPhotos], test: int, scale: Scale, seed: int) -> None:
        training = [group for i, group in enumerate(groups) if i != test]
        self.group, self.scale = groups[test], scale
        features = np.concatenate([group.features for group in training])
        usual = np.concatenate([np.nanmean(group.ratings, 0) for group in training])
        head = GenericHead.fit(features, usual, seed)
        ends = np.cumsum([len(group.generic) for group in training])[:-1]
        unseen = [
            replace(group, generic=held)
            for group, held in zip(training, np.split(head.held_out, ends), strict=True)
        ]
        self.fitted = Baseline(
            head(self.group.features), fit_prior(unseen, "fitted", "training", share=1.0)
        )
        self.shipped = Baseline(self.group.generic, fit_prior(training, "shipped", "training"))
        self.count = (~np.isnan(self.group.ratings)).sum(0)
        self.sum = np.nansum(self.group.ratings, 0)

    def case(self, draw: Draw, shots: int) -> Case:
        own = np.nan_to_num(self.group.ratings[draw.person])
        others = (self.sum - own) / np.maximum(self.count - 1, 1)
        return Case(
            features=self.group.features,
            ratings=self.group.ratings[draw.person],
            support=draw.rest[:shots],
            query=draw.query,
            fitted=self.fitted,
            shipped=self.shipped,
            others=others,
            scale=self.scale,
            prompt=self.group.prompts[draw.person] if self.group.prompts else "",
            load=self.group.load,
        )


def _measure(method: Row, case: Case) -> tuple[float, ...]:
    started = time.perf_counter()
    predicted = method(case)
    seconds = time.perf_counter() - started
    given = case.ratings[case.query]
    clipped = predicted.mean.clip(case.scale.low, case.scale.high)
    coverage = np.nan
    if predicted.std is not None:
        coverage = float((np.abs(given - predicted.mean) <= _NORMAL_80 * predicted.std).mean())
    own_mean = case.ratings[case.support].mean()
    return (
        plcc(predicted.mean, given),
        srcc(predicted.mean, given),
        float(np.abs(clipped - given).mean()),
        float(np.abs(own_mean - given).mean()),
        coverage,
        seconds,
    )


def _collect(found: list[tuple[int, int, tuple[float, ...]]]) -> Measured:
    people, repeats, figures = zip(*found, strict=True)
    columns = np.asarray(figures, np.float64).T
    return Measured(
        np.asarray(people), np.asarray(repeats), dict(zip(FIGURES, columns, strict=True))
    )
