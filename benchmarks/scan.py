"""Time the native scan against the torch engine, at the sizes the encoders scan at.

Both engines run by turns in one process, so that whatever else the machine does hits both; the
medians and their ratio are printed as a Markdown table. Run: ``python benchmarks/scan.py``.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from aesmamba_sdk.model.config import ENCODERS
from aesmamba_sdk.model.selective_scan import choose_engine, cross_selective_scan, use_engine

ENGINES = ("torch", "native")
IMAGE_SIZES = {"nano": 128, "tiny": 224}


def problem(batch: int, side: int, channels: int, state: int) -> list[Tensor]:
    """Random inputs with Mamba's initial step sizes and decays."""
    g = torch.Generator().manual_seed(0)
    rank = math.ceil(channels / 16)
    dt_bias = torch.empty(4, channels).uniform_(math.log(1e-3), math.log(1e-1), generator=g)
    steps = torch.arange(1.0, state + 1)
    inputs = [
        torch.randn(batch, side * side, channels, generator=g),
        torch.randn(batch, side * side, 4, rank + 2 * state, generator=g),
        torch.randn(4, channels, rank, generator=g) * rank**-0.5,
        dt_bias,
        -steps.expand(4, channels, state).contiguous(),
        torch.ones(4, channels),
    ]
    return [t.requires_grad_() for t in inputs]


def forward(inputs: list[Tensor], side: int) -> None:
    with torch.no_grad():
        cross_selective_scan(*inputs, (side, side))


def forward_backward(inputs: list[Tensor], side: int) -> None:
    y = cross_selective_scan(*inputs, (side, side))
    torch.autograd.grad(y, inputs, torch.ones_like(y))


def interleaved(run: Callable[[], None], seconds: float) -> list[float]:
    """Each engine's median time in milliseconds, measured by turns for about ``seconds``."""
    times: dict[str, list[float]] = {name: [] for name in ENGINES}
    started = time.perf_counter()
    while len(times["torch"]) < 4 or time.perf_counter() - started < seconds:
        for name in ENGINES:
            with use_engine(name):
                run()  # the other engine has just emptied the caches
                before = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - before) * 1e3)
    return [statistics.median(times[name][1:]) for name in ENGINES]


def cases(batches: list[int]) -> Iterator[tuple[str, int, int, int, int]]:
    for name, image_size in IMAGE_SIZES.items():
        for batch in batches:
            for state in (1, 16):
                for i, channels in enumerate(ENCODERS[name].dims):
                    yield name, batch, image_size // (4 << i), channels, state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=1.0, help="per row and pass")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with use_engine("native"):
        choose_engine(torch.device("cpu"))  # says how to get it when it is not there
    print(f"{options.threads} threads; milliseconds: torch, native, ratio\n")
    print("| encoder | batch | L | D | N | forward | | | forward + backward | | |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, batch, side, channels, state in cases(options.batches):
        inputs = problem(batch, side, channels, state)
        cells = [name, str(batch), str(side * side), str(channels), str(state)]
        for passes in (forward, forward_backward):
            slow, fast = interleaved(lambda p=passes, i=inputs, s=side: p(i, s), options.seconds)
            cells += [f"{slow:.2f}", f"{fast:.3f}", f"{slow / fast:.1f}x"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
