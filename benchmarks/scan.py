"""The four-way scan alone: the native engine against the torch engine, stage by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.model.selective_scan import choose_engine, use_engine
from benchmarks.options import Options
from benchmarks.shapes import Scan, preset_scans, run_scan
from benchmarks.timing import interleaved, threads

SLOW, FAST = "torch", "native"
WANTED = {1: 4.0, 16: 8.0}
"""How many times faster than the torch engine, by N."""
SECONDS = 0.6
PASSES = ("forward", "forward and backward")

Key = tuple[str, int, int, str]  # encoder, state, batch, pass


def measure(options: Options) -> Result:
    """Both engines by turns, at every stage of every scanned preset.

    The torch engine needs seconds for a large batch on one thread: fewer threads than the most
    are measured with the smallest batch alone.
    """
    with use_engine(FAST):
        choose_engine(torch.device("cpu"))  # says how to get it when it is not there
    shape = ("encoder", "stage", "L", "D", "N", "batch", "threads")
    figures = (f"{name}, {pass_}" for pass_ in PASSES for name in (SLOW, FAST, "ratio"))
    table = Table("Scan alone, ms", (*shape, *figures))
    sums: dict[Key, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for count, batch in _runs(options):
        for scan in preset_scans(options.scanned, options.states, options.image):
            times = _times(scan, batch, count, options)
            cells: list[float] = []
            for pass_, (slow, fast) in times.items():
                cells += [slow * 1e3, fast * 1e3, slow / fast]
                if count == options.most_threads:
                    total = sums[scan.encoder, scan.state, batch, pass_]
                    total[:] = total[0] + slow * scan.blocks, total[1] + fast * scan.blocks
            sizes = (scan.encoder, scan.stage, scan.side**2, scan.channels, scan.state)
            table.add(*sizes, batch, count, *cells)
    return Result("scan", [table], _bars(sums))


def _runs(options: Options) -> Iterator[tuple[int, int]]:
    for count in options.threads:
        most = count == options.most_threads
        for batch in options.batches if most else (min(options.batches),):
            yield count, batch


def _times(scan: Scan, batch: int, count: int, options: Options) -> dict[str, tuple[float, float]]:
    """Seconds of the slow and of the fast engine by pass."""
    inputs = scan.problem(batch)
    found: dict[str, tuple[float, float]] = {}
    with threads(count):
        for name, run in zip(PASSES, (forward, forward_backward), strict=True):
            calls = {engine: _on(engine, run, inputs, scan.side) for engine in (SLOW, FAST)}
            timings = interleaved(calls, options.budget(SECONDS, least=2))
            found[name] = timings[SLOW].seconds, timings[FAST].seconds
    return found


def _on(
    engine: str, run: Callable[[list[Tensor], int], None], inputs: list[Tensor], side: int
) -> Callable[[], None]:
    def call() -> None:
        with use_engine(engine):
            run(inputs, side)

    return call


def forward(inputs: list[Tensor], side: int) -> None:
    with torch.inference_mode():
        run_scan(inputs, side)


def forward_backward(inputs: list[Tensor], side: int) -> None:
    y = run_scan(inputs, side)
    torch.autograd.grad(y, inputs, torch.ones_like(y))


def _bars(sums: dict[Key, list[float]]) -> list[Bar]:
    """Of each N: all scans of an encoder, in the encoder, batch and pass where least is gained."""
    bars = []
    for state, wanted in WANTED.items():
        ratios = {key: slow / fast for key, (slow, fast) in sums.items() if key[1] == state}
        if ratios:
            encoder, _, batch, pass_ = worst = min(ratios, key=lambda key: ratios[key])
            where = f"least over encoders, batches and passes: {encoder}, batch {batch}, {pass_}"
            what = f"native scan by torch engine, N={state} ({where})"
            bars.append(Bar(what, ratios[worst], wanted))
    return bars
