"""``python -m benchmarks``: measure, print tables and bars, and write them to a folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from aesmamba_sdk.evaluate.report import Result, bar_table, show_table
from aesmamba_sdk.model.config import ENCODERS
from benchmarks import floor, folder, library, memory, models, scan, scanning, serve
from benchmarks.company import LEAST_SIDE
from benchmarks.options import Options
from benchmarks.report import machine, write

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[Options], Result]] = {
    "models": models.measure_inference,
    "floor": floor.measure,
    "training": models.measure_training,
    "memory": memory.measure,
    "scan": scan.measure,
    "folder": folder.measure,
    "library": library.measure,
    "scanning": scanning.measure,
    "serve": serve.measure,
}
QUICK = Options(
    threads=(2,),
    batches=(8,),
    encoders=("nano", "tiny"),
    company=("swin_t", "convnext_t"),
    scanned=("nano",),
    photos=16,
    megapixels=(24,),
    patience=0.1,
)


SLOW_PARTS = ("memory", "scanning")
"""Only made quickly when they are asked for: processes and large libraries take their time."""
IN_COMPANY = ("models", "training", "memory")
"""Parts that run the networks ours are measured against."""
_STEP = 32  # pixels of the encoders' coarsest map: on other sides its size is rounded


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1: ``--strict``, and a bar was missed."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    for part in asked.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are: {', '.join(PARTS)}")
    options = _options(asked)
    parts = asked.parts or [part for part in PARTS if not (asked.quick and part in SLOW_PARTS)]
    if options.image < LEAST_SIDE and (with_company := set(parts) & set(IN_COMPANY)):
        parser.error(
            f"--image {options.image}: networks of {', '.join(sorted(with_company))} need at least "
            f"{LEAST_SIDE}"
        )
    if not scanning.STATUS.is_file() and "scanning" in parts:
        if asked.parts:
            parser.error(f"scanning needs Linux: there is no {scanning.STATUS}")
        parts.remove("scanning")
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    results = []
    for part in parts:
        started = time.perf_counter()
        results.append(PARTS[part](options))
        for table in results[-1].tables:
            show_table(console, table)
        console.print(f"  {part}: measured in {time.perf_counter() - started:.0f} s\n")
    show_table(console, bar_table(bar for result in results for bar in result.bars))
    console.print(f"written to {write(asked.output, results, machine())}", soft_wrap=True)
    missed = not all(bar.reached for result in results for bar in result.bars)
    return int(missed and asked.strict)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default"
    )
    parser.add_argument("--threads", type=_count, nargs="+", help="2 and 1 by default")
    parser.add_argument("--batches", type=_count, nargs="+", help="1 and 8 by default")
    parser.add_argument(
        "--encoders",
        nargs="+",
        choices=ENCODERS,
        metavar="ENCODER",
        help="ours; nano, tiny and tiny-v0 by default",
    )
    parser.add_argument("--image", type=_side, help="side in pixels; 224 by default")
    parser.add_argument("--photos", type=_count, help="in each folder")
    parser.add_argument("--patience", type=float, help="multiplies the time spent; 1 by default")
    parser.add_argument("--quick", action="store_true", help="a minute, for development")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _side(text: str) -> int:
    side = _count(text)
    if side % _STEP:
        raise argparse.ArgumentTypeError(f"{side} is no multiple of {_STEP}")
    return side


def _options(asked: argparse.Namespace) -> Options:
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name in ("threads", "batches", "encoders", "image", "photos", "patience")
        if (value := getattr(asked, name)) is not None
    }
    return replace(QUICK if asked.quick else Options(), **chosen)


if __name__ == "__main__":
    raise SystemExit(main())
