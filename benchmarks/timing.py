"""Times of several callables, taken by turns in one process, so that their ratios hold.

Whatever else the machine does hits all of them alike; ratios are taken within a round and only
then reduced to a median.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

SHORT = 0.02
"""Seconds: a call below this is made once uncounted in its turn, to fill the caches again."""


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes:
        seconds: after which no further round begins.
        least, most: rounds, whatever the seconds say.
    """

    seconds: float
    least: int = 3
    most: int = 200


@dataclass(frozen=True)
class Timing:
    """Seconds of one callable, a value a round."""

    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / 2 / self.seconds

    def times_faster_than(self, other: Timing) -> float:
        """Median over the rounds of ``other``'s time by this one's."""
        pairs = zip(other.rounds, self.rounds, strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def interleaved(
    calls: Mapping[str, Callable[[], object]], budget: Budget, *, cold: Container[str] = ()
) -> dict[str, Timing]:
    """Time every callable once a round.

    The first call of each is a warm-up and not counted; the order turns by one each round, so that
    none always follows the same other.

    Args:
        cold: names of calls that find the caches as the others leave them, however short they are.
    """
    first = {name: once(call) for name, call in calls.items()}
    short = {name for name, seconds in first.items() if seconds < SHORT and name not in cold}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    started = time.perf_counter()
    done = 0
    while done < budget.least or (
        done < budget.most and time.perf_counter() - started < budget.seconds
    ):
        for name in turned(names, done):
            if name in short:
                calls[name]()
            rounds[name].append(once(calls[name]))
        done += 1
    return {name: Timing(tuple(values)) for name, values in rounds.items()}


def once(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def turned(names: Sequence[str], by: int) -> list[str]:
    by %= max(1, len(names))
    return [*names[by:], *names[:by]]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
