"""How close an encoder comes to the least time its arithmetic needs on this machine.

The floor is the sum of two measured rates' times, at exactly the shapes the encoder runs:

- every matrix product, the convolutions of stem and downsampling counted as the product of their
  patches, by the fastest plain product at hand: ``torch.mm`` into memory that is already there
  (MKL or OpenBLAS), oneDNN or the native library with the weight packed beforehand;
- every scan, by the native engine.

Each is run alone, again and again, with its data in whatever cache holds them. The floor has no
norms, activations, depthwise convolutions, residual sums, copies or allocations and no Python: a
model reaches 100 % only if all of that is free. It is not a lower bound of arithmetic: a faster
product or scan lowers it, and a model that fuses a product with its neighbours can pass it.

Model, products and scans take turns in one run; the share is the median over the rounds of floor by
model. Like the products, the model is timed when it has just run, as one batch of photos follows
another. How long it takes right behind the others, with weights and maps out of the caches and its
memory taken anew, is told beside it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.model import chain
from aesmamba_sdk.model.config import ENCODERS
from benchmarks.models import scoring
from benchmarks.options import Options
from benchmarks.scan import forward
from benchmarks.shapes import Product, Scan, products, scans
from benchmarks.timing import Budget, Timing, interleaved, threads

JUDGED = "tiny"
WANTED = 0.85
SECONDS = 10.0
_CHOICE = Budget(0.15, least=3)

Call = Callable[[], object]


@dataclass(frozen=True)
class Floor:
    """Seconds of one encoder at one batch, a value a round.

    Attributes:
        products: all matrix products.
        scans: all scans.
        model: the encoder itself, behind another run of it.
        cold: the encoder behind the products and scans.
    """

    products: tuple[float, ...]
    scans: tuple[float, ...]
    model: tuple[float, ...]
    cold: tuple[float, ...]

    @property
    def share(self) -> float:
        """Median over the rounds of floor by model."""
        rounds = zip(self.products, self.scans, self.model, strict=True)
        return statistics.median((p + s) / m for p, s, m in rounds)


def measure(options: Options) -> Result:
    title = f"Floor: products and scans alone, {options.image} px"
    parts = ("products, ms", "GFLOP/s", "scans, ms", "10^9 states/s")
    sums = ("floor, ms", "model, ms", "share, %", "behind others, ms")
    table = Table(title, ("encoder", "batch", "threads", *parts, *sums))
    bars = []
    for count in options.threads:
        for batch in options.batches:
            for name in options.encoders:
                with threads(count):
                    found = measure_encoder(name, batch, options)
                table.add(name, batch, count, *_cells(name, batch, options.image, found))
                most = count == options.most_threads and batch == options.most_images
                if most and name == JUDGED:
                    what = f"{name}, share of the floor in %, batch {batch}"
                    bars.append(Bar(what, found.share * 100, WANTED * 100))
    table.notes.append("states: batch · L · D · N · 4 directions")
    return Result("floor", [table], bars)


def measure_encoder(name: str, batch: int, options: Options) -> Floor:
    config = ENCODERS[name]
    product_counts: Counter[Product] = Counter()
    for product in products(config, options.image):
        product_counts[replace(product, count=1)] += product.count
    scan_counts = {scan: scan.blocks for scan in scans(config, options.image)}
    # Made outside of inference mode: there, weights are of a kind that cannot be packed.
    model, images = scoring(name), torch.randn(batch, 3, options.image, options.image)
    calls: dict[str, Call] = {"cold": lambda: model(images), "model": lambda: model(images)}
    with torch.inference_mode():
        calls |= {repr(product): fastest(product, batch) for product in product_counts}
        calls |= {repr(scan): scan_call(scan, batch) for scan in scan_counts}
        budget = options.budget(SECONDS * min(1.0, batch / 4))
        timings = interleaved(calls, budget, cold=("cold",))
    return Floor(
        _weighted({repr(k): n for k, n in product_counts.items()}, timings),
        _weighted({repr(k): n for k, n in scan_counts.items()}, timings),
        timings["model"].rounds,
        timings["cold"].rounds,
    )


def _weighted(counts: dict[str, int], timings: dict[str, Timing]) -> tuple[float, ...]:
    """Sum over the calls, each as often as the encoder makes it, round by round."""
    weighed = [[n * t for t in timings[key].rounds] for key, n in counts.items()]
    return tuple(map(sum, zip(*weighed, strict=True)))


def scan_call(scan: Scan, batch: int) -> Call:
    inputs = [t.detach() for t in scan.problem(batch)]
    return lambda: forward(inputs, scan.side)


def fastest(product: Product, batch: int) -> Call:
    """The plain product that is fastest at this shape on this machine."""
    calls = plain_products(product, batch)
    timings = interleaved(calls, _CHOICE)
    return calls[min(calls, key=lambda name: timings[name].seconds)]


def plain_products(product: Product, batch: int) -> dict[str, Call]:
    """By library: (batch · rows, inner) activations times (columns, inner) weights."""
    rows = batch * product.rows
    x = torch.randn(rows, product.inner)
    weight = torch.randn(product.columns, product.inner)
    out = torch.empty(rows, product.columns)
    calls: dict[str, Call] = {"mm": lambda: torch.mm(x, weight.t(), out=out)}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        linear = torch.ops.mkldnn._linear_pointwise
        calls["oneDNN"] = lambda: linear(x, packed, None, "none", [], "")
    with torch.inference_mode(False):
        native = torch.randn(product.columns, product.inner)
    if chain.pack(native) and chain.project(x, native) is not None:
        calls["native"] = lambda: chain.project(x, native)
    return calls


def _cells(name: str, batch: int, image: int, found: Floor) -> tuple[float, ...]:
    config = ENCODERS[name]
    flops = 2 * batch * sum(p.multiplications for p in products(config, image))
    states = batch * sum(s.states * s.blocks for s in scans(config, image))
    product, scan = map(statistics.median, (found.products, found.scans))
    model, cold = map(statistics.median, (found.model, found.cold))
    rates = (product * 1e3, flops / product / 1e9, scan * 1e3, states / scan / 1e9)
    return (*rates, (product + scan) * 1e3, model * 1e3, found.share * 100, cold * 1e3)
