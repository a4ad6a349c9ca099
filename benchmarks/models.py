"""Whole encoders beside their usual company: inference, a training step, and peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.memory import keep_freed_memory
from aesmamba_sdk.model.config import ENCODERS
from aesmamba_sdk.model.pack import pack
from aesmamba_sdk.model.vmamba import VMamba
from benchmarks.company import COMPANY
from benchmarks.options import Options
from benchmarks.shapes import products
from benchmarks.timing import Timing, interleaved, threads

REFERENCE = "swin_t"
WANTED_INFERENCE = (("tiny", "swin_t", 1.4), ("tiny", "convnext_t", 0.95), ("nano", "swin_t", 5.0))
WANTED_TRAINING = (("tiny", "swin_t", 1.1),)
SECONDS = 20.0
_IMAGE_FOR_SIZE = 224


def measure_inference(options: Options) -> Result:
    """Every network under ``torch.inference_mode``, one image batch each, by turns."""
    networks = {name: scoring(name) for name in (*options.encoders, *options.company)}
    columns = ("network", "M weights", "GMAC", "batch", "threads", "ms", "photos/s", "by swin_t")
    table = Table(f"Inference, {options.image} px", (*columns, "spread"))
    bars: list[Bar] = []
    for count, batch in _runs(options):
        with threads(count), torch.inference_mode():
            images = torch.randn(batch, 3, options.image, options.image)
            calls = {name: _inference(net, images) for name, net in networks.items()}
            timings = interleaved(calls, options.budget(SECONDS * _share(batch)))
        _add_rows(table, networks, timings, batch, count)
        if count == options.most_threads and batch == options.most_images:
            bars = _bars("inference", WANTED_INFERENCE, timings, batch)
    table.notes.append("by swin_t: median over the rounds of swin_t's time by the network's")
    return Result("models", [table], bars)


def measure_training(options: Options) -> Result:
    """Forward, backward and an AdamW step on the largest batch, by turns."""
    keep_freed_memory()
    networks = {name: build(name).train() for name in (*options.encoders, *options.company)}
    columns = ("network", "M weights", "GMAC", "batch", "threads", "ms", "photos/s", "by swin_t")
    table = Table(f"Training step, {options.image} px", (*columns, "spread"))
    bars: list[Bar] = []
    batch = options.most_images
    for count in options.threads:
        with threads(count):
            images = torch.randn(batch, 3, options.image, options.image)
            calls = {name: training_step(net, images) for name, net in networks.items()}
            timings = interleaved(calls, options.budget(SECONDS))
        _add_rows(table, networks, timings, batch, count)
        if count == options.most_threads:
            bars = _bars("training step", WANTED_TRAINING, timings, batch)
    table.notes.append(
        "with keep_freed_memory(), as the training commands set it, for every network"
    )
    return Result("training", [table], bars)


def build(name: str) -> nn.Module:
    """A network with random weights: (batch, 3, H, W) to its last map or tokens."""
    torch.manual_seed(0)
    return VMamba(ENCODERS[name]) if name in ENCODERS else COMPANY[name]()


def scoring(name: str) -> nn.Module:
    """A network as it scores: ours with packed weights, as the SDK opens its models."""
    network = build(name).eval()
    if name in ENCODERS:
        pack(network)
    return network


def _inference(network: nn.Module, images: Tensor) -> Callable[[], None]:
    def call() -> None:
        network(images)

    return call


def training_step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """One step of AdamW in one pass, for every network as the training loop has it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)

    def call() -> None:
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()

    return call


def millions_of_weights(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def gmac(name: str, network: nn.Module) -> float:
    """Multiplications of an image's matrix products and dense convolutions, in 10^9."""
    if name in ENCODERS:
        return sum(p.multiplications for p in products(ENCODERS[name], _IMAGE_FOR_SIZE)) / 1e9
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(torch.zeros(1, 3, _IMAGE_FOR_SIZE, _IMAGE_FOR_SIZE))
    flops: int = counter.get_total_flops()
    return flops / 2e9


def _runs(options: Options) -> Iterator[tuple[int, int]]:
    for count in options.threads:
        for batch in options.batches:
            yield count, batch


def _share(batch: int) -> float:
    """A small batch is done sooner."""
    return min(1.0, batch / 4)


def _add_rows(
    table: Table,
    networks: dict[str, nn.Module],
    timings: dict[str, Timing],
    batch: int,
    count: int,
) -> None:
    reference = timings.get(REFERENCE)
    for name, timing in timings.items():
        size = (millions_of_weights(networks[name]), gmac(name, networks[name]))
        ratio = None if reference is None else timing.times_faster_than(reference)
        rate = batch / timing.seconds
        spread = f"±{timing.spread:.0%}"
        table.add(name, *size, batch, count, timing.seconds * 1e3, rate, ratio, spread)


def _bars(
    what: str,
    wanted: tuple[tuple[str, str, float], ...],
    timings: dict[str, Timing],
    batch: int,
) -> list[Bar]:
    return [
        Bar(f"{ours} {what} by {theirs}, batch {batch}", ratio, least)
        for ours, theirs, least in wanted
        if {ours, theirs} <= timings.keys()
        for ratio in (timings[ours].times_faster_than(timings[theirs]),)
    ]
