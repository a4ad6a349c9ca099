"""The machine, and what was found on it, as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from aesmamba_sdk import __version__
from aesmamba_sdk.evaluate.report import Cell, Result, bar_table, table_markdown, text
from aesmamba_sdk.model.selective_scan import choose_engine


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


def write(folder: Path, results: Sequence[Result], where: dict[str, Cell]) -> Path:
    """Write ``<date>.md`` and ``<date>.json``; the path of the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = str(where["date"])[:19].replace(":", "-")
    bars = bar_table(bar for result in results for bar in result.bars)
    tables = [bars, *(table for result in results for table in result.tables)]
    facts = [f"- {name}: {text(value)}" for name, value in where.items()]
    file = folder / f"{stem}.md"
    lines = ["# Benchmark", "", *facts, *map(table_markdown, tables)]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    record = {"machine": where, "results": [result.to_dict() for result in results]}
    file.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return file
