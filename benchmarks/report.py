"""Tables and bars: on the terminal, as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from aesmamba_sdk import __version__
from aesmamba_sdk.model.selective_scan import choose_engine

Cell = str | int | float | None
_DIGITS = 3


@dataclass
class Table:
    """Rows of figures; floats are shown with three significant digits and kept in full."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)


@dataclass(frozen=True)
class Bar:
    """A figure that has to be reached, at least or at most."""

    what: str
    found: float
    wanted: float
    kind: Literal["at least", "at most"] = "at least"

    @property
    def reached(self) -> bool:
        return self.found >= self.wanted if self.kind == "at least" else self.found <= self.wanted


@dataclass
class Section:
    """What one part of the benchmark found."""

    name: str
    tables: list[Table] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


def bar_table(sections: Iterable[Section]) -> Table:
    table = Table("Bars", ("bar", "wanted", "found", ""))
    for bar in (bar for section in sections for bar in section.bars):
        sign = "≥" if bar.kind == "at least" else "≤"
        verdict = "pass" if bar.reached else "MISSED"
        table.add(bar.what, f"{sign} {bar.wanted:g}", f"{bar.found:.2f}", verdict)
    return table


def machine() -> dict[str, Cell]:
    """What the figures were measured on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "aesmamba-sdk": __version__,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch vectors": torch.backends.cpu.get_cpu_capability(),
        "scan engine": choose_engine(torch.device("cpu")).name,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show(console: Console, table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if _numeric(table, i) else "left")
    for row in table.rows:
        shown.add_row(*map(text, row))
    console.print(shown)
    for note in table.notes:
        console.print(f"  {note}", markup=False)


def markdown(tables: Iterable[Table], where: dict[str, Cell]) -> str:
    lines = ["# Benchmark", "", *(f"- {name}: {text(value)}" for name, value in where.items())]
    for table in tables:
        marks = ["--:" if _numeric(table, i) else "---" for i in range(len(table.columns))]
        lines += ["", f"## {table.title}", "", _line(table.columns), _line(marks)]
        lines += [_line([text(cell) for cell in row]) for row in table.rows]
        lines += ["", *table.notes] if table.notes else []
    return "\n".join(lines) + "\n"


def write(folder: Path, sections: Sequence[Section], where: dict[str, Cell]) -> Path:
    """Write ``<date>.md`` and ``<date>.json``; the path of the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = str(where["date"])[:19].replace(":", "-")
    tables = [table for section in sections for table in section.tables]
    file = folder / f"{stem}.md"
    file.write_text(markdown([bar_table(sections), *tables], where), "utf-8")
    record = {"machine": where, "sections": [_record(section) for section in sections]}
    file.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return file


def _record(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "tables": [
            {
                "title": table.title,
                "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
                "notes": table.notes,
            }
            for table in section.tables
        ],
        "bars": [vars(bar) | {"reached": bar.reached} for bar in section.bars],
    }


def text(cell: Cell) -> str:
    """A figure as people read it: 0.0123, 1.23, 12.3, 123, 12345."""
    if cell is None:
        return ""
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 10 ** (_DIGITS - 1) else f"{cell:#.{_DIGITS}g}".rstrip(".")


def _numeric(table: Table, column: int) -> bool:
    return any(isinstance(row[column], (int, float)) for row in table.rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
