"""What a protocol or a benchmark found: tables and bars, on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aesmamba_sdk.evaluate.statistics import Estimate, Runs

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | int | float | Estimate | Runs | None

_DIGITS = 3


@dataclass
class Table:
    """Rows of figures, kept in full and rounded when shown.

    Attributes:
        decimals: of floats; ``None``: three significant digits.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    decimals: int | None = None

    def add(self, *cells: Cell) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)


@dataclass(frozen=True)
class Bar:
    """A figure that has to be reached."""

    what: str
    found: float
    wanted: float
    kind: Literal["at least", "at most", "above"] = "at least"

    @property
    def reached(self) -> bool:
        if self.kind == "at most":
            return self.found <= self.wanted
        return self.found > self.wanted if self.kind == "above" else self.found >= self.wanted


@dataclass
class Result:
    """Everything one protocol or benchmark found.

    Attributes:
        name: of the protocol.
        settings: what it ran on: model, data, photos, seed.
    """

    name: str
    tables: list[Table] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    settings: dict[str, str | int | float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, figures in full."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "tables": [_table_record(table) for table in self.tables],
            "bars": [dataclasses.asdict(bar) | {"reached": bar.reached} for bar in self.bars],
        }

    def shown(self) -> list[Table]:
        """The tables, then that of the bars where there are any."""
        return [*self.tables, bar_table(self.bars)] if self.bars else list(self.tables)

    def markdown(self) -> str:
        """The tables as Markdown below a line of the settings."""
        said = ", ".join(f"{name} {text(value)}" for name, value in self.settings.items())
        return "\n".join([*([said] if said else []), *map(table_markdown, self.shown())])

    def show(self, console: Console) -> None:
        """Print the tables."""
        if self.settings:
            said = ", ".join(f"{name} {text(value)}" for name, value in self.settings.items())
            console.print(f"{self.name}: {said}", markup=False)
        for table in self.shown():
            show_table(console, table)


def bar_table(bars: Iterable[Bar]) -> Table:
    """Bars beside what was reached."""
    table = Table("Bars", ("bar", "wanted", "reached", ""), decimals=3)
    signs = {"at least": "≥", "at most": "≤", "above": ">"}
    for bar in bars:
        verdict = "met" if bar.reached else "MISSED"
        table.add(bar.what, f"{signs[bar.kind]} {bar.wanted:g}", bar.found, verdict)
    return table


def show_table(console: Console, table: Table) -> None:
    """Print one table; numbers align at the right."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="right" if _numeric(table, i) else "left")
    for row in table.rows:
        shown.add_row(*(Text(text(cell, table.decimals)) for cell in row))
    console.print(shown)
    for note in table.notes:
        console.print(f"  {note}", markup=False)


def table_markdown(table: Table) -> str:
    """A table in Markdown under its title, with its notes."""
    marks = ["--:" if _numeric(table, i) else "---" for i in range(len(table.columns))]
    rows = [[text(cell, table.decimals) for cell in row] for row in table.rows]
    lines = ["", f"**{table.title}**", "", *map(_line, [table.columns, marks, *rows])]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines)


def text(cell: Cell, decimals: int | None = None) -> str:
    """A cell as people read it: 0.0123, 1.23, 12.3, 123; 0.624 [0.556, 0.682]; 0.707 ± 0.005."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        value, low, high = (_number(x, decimals) for x in (cell.value, cell.low, cell.high))
        return f"{value} [{low}, {high}]"
    if isinstance(cell, Runs):
        deviation = f" ± {_number(cell.sd, decimals)}" if cell.runs > 1 else ""
        return f"{_number(cell.mean, decimals)}{deviation}"
    return _number(cell, decimals) if isinstance(cell, float) else str(cell)


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        rounded = f"{value:.{decimals}f}"
        return rounded.lstrip("-") if float(rounded) == 0 else rounded
    if abs(value) >= 10 ** (_DIGITS - 1):
        return f"{value:.0f}"
    return f"{value:#.{_DIGITS}g}".rstrip(".")


def _numeric(table: Table, column: int) -> bool:
    kinds = (int, float, Estimate, Runs)
    return any(isinstance(row[column], kinds) for row in table.rows)


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _table_record(table: Table) -> dict[str, Any]:
    rows = [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows]
    return {"title": table.title, "rows": rows, "notes": list(table.notes)}


def _plain(cell: Cell) -> str | int | float | Mapping[str, float] | None:
    return dataclasses.asdict(cell) if isinstance(cell, (Estimate, Runs)) else cell
