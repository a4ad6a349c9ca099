"""Scores to stars 1-5."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.xmp.choices import StarRule

DEFAULT_BOUNDS: dict[StarRule, tuple[float, ...]] = {
    "quantiles": (10, 30, 70, 90),
    "cuts": (1.5, 2.5, 3.5, 4.5),
}
"""Where 2, 3, 4 and 5 stars begin: percent of the photos that score lower, or scores on 1-5."""
_PERCENTAGES = (0.0, 100.0)
_FINITE = (-sys.float_info.max, sys.float_info.max)


def checked_bounds(rule: StarRule, bounds: Sequence[float]) -> tuple[float, ...]:
    """Four bounds, ascending; those of quantiles are percentages.

    Raises:
        XmpError: they are not.
    """
    given = tuple(bounds)
    rising = all(bound < following for bound, following in pairwise(given))
    low, high = _PERCENTAGES if rule == "quantiles" else _FINITE
    if len(given) != 4 or not rising or not low <= given[0] <= given[-1] <= high:
        within = " from 0 to 100" if rule == "quantiles" else ""
        raise XmpError(
            f"star bounds {', '.join(f'{b:g}' for b in given)}: give four ascending numbers"
            f"{within}, where 2, 3, 4 and 5 stars begin",
            code="star_bounds",
        )
    return given


def star_giver(
    rule: StarRule, values: Iterable[float], bounds: Sequence[float] | None = None
) -> Callable[[float], int]:
    """What gives each score its stars.

    Args:
        rule: ``"quantiles"`` by the rank among ``values``, ``"cuts"`` by the score itself.
        values: all scores of the library, on 1-5; equal ones get equal stars.
        bounds: where 2, 3, 4 and 5 stars begin; ``DEFAULT_BOUNDS`` of the rule by default.

    Raises:
        XmpError: as for :func:`checked_bounds`.
    """
    checked = checked_bounds(rule, DEFAULT_BOUNDS[rule] if bounds is None else bounds)
    if rule == "cuts":
        return lambda value: 1 + bisect_right(checked, value)
    ordered = sorted(values)

    def by_rank(value: float) -> int:
        both_sides = bisect_left(ordered, value) + bisect_right(ordered, value)
        return 1 + bisect_right(checked, 50 * both_sides / len(ordered))

    return by_rank
