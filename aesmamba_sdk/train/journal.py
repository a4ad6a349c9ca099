"""What a run writes down: lines of ``metrics.jsonl``, TensorBoard where it is installed, curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


class Journal:
    """The lines of one run; a run that goes on adds to them.

    Args:
        folder: of the run; must exist.
        board: also write events for TensorBoard, if it is installed.
    """

    def __init__(self, folder: Path, *, board: bool = False) -> None:
        self.file = folder / METRICS_FILE
        self._end_last_line()
        self._board = _open_board(folder / "tensorboard") if board else None

    def write(self, step: int, epoch: float, values: Mapping[str, object]) -> None:
        """Add a line; numbers also go to TensorBoard."""
        line = {"step": step, "epoch": round(epoch, 3), **values}
        with self.file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def _end_last_line(self) -> None:
        """One that was cut short would spoil the first of this run, too."""
        if self.file.is_file() and not self.file.read_bytes().endswith(b"\n"):
            with self.file.open("a") as stream:
                stream.write("\n")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def read_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Name to step to value of a run's numbers; what was done twice counts once."""
    curves: dict[str, dict[int, float]] = {}
    for line in _lines(folder / METRICS_FILE):
        step = line.pop("step")
        line.pop("epoch")
        for name, value in line.items():
            if isinstance(value, (int, float)):
                curves.setdefault(name, {})[step] = value
    return curves


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Lines that are whole; a power cut or a full disk may have left others."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    for line in text.splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def draw_curves(folder: Path) -> Path | None:
    """Draw a run's losses and validation figures into ``curves.png``.

    Returns:
        The file; ``None`` where ``matplotlib`` is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    curves = read_curves(folder)
    ranked = {k: v for k, v in curves.items() if k.startswith("validation_")}
    losses = {k: v for k, v in curves.items() if k not in ranked and k != "photos_per_second"}
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = ("training loss", "validation, averaged weights")
    for panel, title, lines in zip(panels, titles, (losses, ranked), strict=True):
        for name, points in lines.items():
            label = name.removeprefix("validation_").replace("_", " ")
            marker = "." if len(points) < 40 else ""
            panel.plot(list(points), list(points.values()), marker=marker, linewidth=1, label=label)
        panel.set(title=title, xlabel="step")
        panel.grid(alpha=0.3)
        if lines:
            panel.legend(fontsize="x-small", frameon=False)
    panels[0].set_yscale("log")
    figure.savefig(folder / CURVES_FILE, dpi=120)
    return folder / CURVES_FILE


def _open_board(folder: Path) -> Any | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
