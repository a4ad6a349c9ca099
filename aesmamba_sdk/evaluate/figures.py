"""Pictures of results: the paper's bars, box plots and scatter plots, as PNG files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate.statistics import Estimate, Runs

_DPI = 120
_FAN = 0.8  # of the space between two groups of bars

Points = Sequence[tuple[float, float]]


def bar_chart(
    file: Path, groups: Sequence[str], series: Mapping[str, Sequence[Runs]], label: str
) -> None:
    """Bars beside each other, deviations of several runs as whiskers.

    Args:
        groups: what lies along the axis.
        series: by name, one figure a group; each has a colour.
        label: of the figures.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with _panel(file) as panel:
        width = _FAN / len(series)
        for i, (name, runs) in enumerate(series.items()):
            places = np.arange(len(groups)) + (i - (len(series) - 1) / 2) * width
            means, deviations = [run.mean for run in runs], [run.sd for run in runs]
            whiskers = deviations if any(run.runs > 1 for run in runs) else None
            panel.bar(places, means, width * 0.9, yerr=whiskers, capsize=3, label=name)
        panel.set_xticks(range(len(groups)), groups)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set_ylabel(label)
        low, high = panel.get_ylim()
        panel.set_ylim(low, high + 0.15 * (high - low))  # room for the legend
        panel.legend(frameon=False, ncols=len(series), loc="upper center")


def box_plot(file: Path, groups: Mapping[str, Sequence[float]], label: str) -> None:
    """A box a group: median, quartiles, and the values beyond them.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with _panel(file) as panel:
        panel.boxplot(list(groups.values()), showmeans=True)
        panel.set_xticks(range(1, len(groups) + 1), list(groups))
        panel.set_ylabel(label)


def scatter_plot(file: Path, series: Mapping[str, Points], across: str, up: str) -> None:
    """Points of several series, each with the line that fits them best.

    Args:
        series: by name; one without two different places has no line.
        across, up: what the axes show.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with _panel(file) as panel:
        for i, (name, points) in enumerate(series.items()):
            x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
            panel.scatter(x, y, s=18, color=f"C{i}", label=name)
            if x.size and np.ptp(x):
                slope, start = np.polyfit(x, y, 1)
                ends = np.array([x.min(), x.max()])
                panel.plot(ends, slope * ends + start, color=f"C{i}", linewidth=1)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set(xlabel=across, ylabel=up)
        panel.legend(frameon=False)


def require_matplotlib() -> None:
    """
    Raises:
        SetupError: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "pictures need matplotlib: pip install 'aesmamba-sdk[train]'", code="no_matplotlib"
        ) from error


def curve_plot(
    file: Path, steps: Sequence[int], series: Mapping[str, Sequence[Estimate]], across: str, up: str
) -> None:
    """Figures by steps with their intervals, one line a series.

    Args:
        series: by name, one figure a step.
        across, up: what the axes show.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with _panel(file) as panel:
        for i, (name, found) in enumerate(series.items()):
            low, high = [e.low for e in found], [e.high for e in found]
            panel.plot(steps, [e.value for e in found], marker="o", color=f"C{i}", label=name)
            panel.fill_between(steps, low, high, color=f"C{i}", alpha=0.15)
        panel.set(xlabel=across, ylabel=up)
        panel.legend(frameon=False)


@contextmanager
def _panel(file: Path) -> Iterator[Any]:
    """One panel, saved when the block ends."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    yield panel
    panel.grid(axis="y", alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
