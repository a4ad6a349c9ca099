"""Scan engines and whole encoders on a GPU: agreement first, then median times.

    python -m benchmarks.gpu [--batch 32] [--repeats 30] [--dtype bfloat16]

The engines run the four-way scan at the shapes of every stage of ``nano`` and ``tiny``, with N of
1 and 16; the encoders run beside Swin-T and ConvNeXt-T, all with random weights. Without a GPU,
``TRITON_INTERPRET=1 python -m benchmarks.gpu --device cpu --quick`` shows that the script works;
its times mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from aesmamba_sdk.model.config import ENCODERS
from aesmamba_sdk.model.selective_scan import engine_report, use_engine
from aesmamba_sdk.model.vmamba import VMamba
from benchmarks.models import build
from benchmarks.shapes import Scan, preset_scans, run_scan
from benchmarks.timing import once

WARMUP = 5
SECONDS_EACH = 2.0
FORWARD_ERROR, GRADIENT_ERROR = 1e-5, 5e-5


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max() / b.abs().max())


def run(engine: str, args: list[Tensor], side: int) -> tuple[Tensor, ...]:
    """Output and gradients of one scan."""
    with use_engine(engine):
        y = run_scan(args, side)
        return y, *torch.autograd.grad(y, args, torch.ones_like(y))


def errors(stage: Scan, batch: int, device: torch.device) -> tuple[float, float]:
    """Worst relative error of triton's output and gradients against torch in float64."""
    args = stage.problem(batch, device, torch.float32)
    double = [t.detach().double().requires_grad_() for t in args]
    got, want = run("triton", args, stage.side), run("torch", double, stage.side)
    each = [relative(a, b) for a, b in zip(got, want, strict=True)]
    return each[0], max(each[1:])


def median_ms(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median of at most ``repeats`` calls, fewer of a slow one; compilation is not counted."""
    call()
    once = wall_ms(call, device)
    repeats = max(1, min(repeats, int(SECONDS_EACH * 1000 / once)))
    if device.type != "cuda":
        return statistics.median(wall_ms(call, device) for _ in range(repeats))
    for _ in range(min(WARMUP, repeats)):
        call()
    pairs = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        pairs.append((start, end))
    torch.cuda.synchronize(device)
    milliseconds: list[float] = [start.elapsed_time(end) for start, end in pairs]
    return statistics.median(milliseconds)


def wall_ms(call: Callable[[], object], device: torch.device) -> float:
    """One call by the clock, with what it left running on the device."""

    def finished() -> None:
        call()
        synchronize(device)

    synchronize(device)
    return once(finished) * 1000


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def scan_times(
    engine: str, stage: Scan, batch: int, device: torch.device, dtype: torch.dtype, repeats: int
) -> tuple[float, float]:
    """Milliseconds of the forward pass, and of forward and backward."""
    args = stage.problem(batch, device, dtype)

    def forward() -> None:
        with use_engine(engine), torch.no_grad():
            run_scan(args, stage.side)

    return (
        median_ms(forward, device, repeats),
        median_ms(lambda: run(engine, args, stage.side), device, repeats),
    )


def encoders(quick: bool) -> dict[str, nn.Module]:
    """Ours and their usual company, without pretrained weights and without heads."""
    if quick:
        small = replace(ENCODERS["nano"], depths=(1, 1), dims=(16, 32))
        return {"nano, cut down": VMamba(small)}
    return {name: build(name) for name in ("nano", "tiny", "tiny-v0", "swin_t", "convnext_t")}


def model_times(
    model: nn.Module, images: Tensor, dtype: torch.dtype, repeats: int
) -> tuple[float, float]:
    """Milliseconds of inference, and of a training step's forward and backward, under autocast."""
    device = images.device
    autocast = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)

    def features() -> Tensor:
        with autocast:
            out: Tensor = model(images)
        return out

    def inference() -> None:
        with torch.no_grad():
            features()

    def step() -> None:
        model.zero_grad(set_to_none=True)
        features().float().square().mean().backward()

    model.eval()
    forward = median_ms(inference, device, repeats)
    model.train()
    return forward, median_ms(step, device, repeats)


def report_agreement(console: Console, found: list[Scan], device: torch.device) -> bool:
    table = Table("stage", "N", "output", "gradients", "", title="triton against torch in float64")
    fine = True
    for stage in found:
        output, gradient = errors(stage, 1, device)
        ok = output <= FORWARD_ERROR and gradient <= GRADIENT_ERROR
        fine &= ok
        verdict = "ok" if ok else "WRONG"
        table.add_row(
            f"{stage.encoder} stage {stage.stage}",
            str(stage.state),
            f"{output:.1e}",
            f"{gradient:.1e}",
            verdict,
        )
    console.print(table)
    return fine


def report_scans(
    console: Console,
    found: list[Scan],
    engines: list[str],
    device: torch.device,
    options: argparse.Namespace,
) -> None:
    title = f"scan, batch {options.batch}, {options.dtype}: forward | forward and backward, ms"
    table = Table("stage", "N", *engines, title=title)
    for stage in found:
        cells = []
        for engine in engines:
            dtype = getattr(torch, options.dtype)
            times = scan_times(engine, stage, options.batch, device, dtype, options.repeats)
            cells.append("{:.2f} | {:.2f}".format(*times))
        table.add_row(f"{stage.encoder} stage {stage.stage}", str(stage.state), *cells)
    console.print(table)


def report_models(
    console: Console, engines: list[str], device: torch.device, options: argparse.Namespace
) -> None:
    title = f"encoders, batch {options.batch}, {options.dtype}"
    table = Table("encoder", "engine", "M weights", "inference ms", "training ms", title=title)
    images = torch.randn(options.batch, 3, options.image, options.image, device=device)
    for name, model in encoders(options.quick).items():
        model.to(device)
        weights = sum(p.numel() for p in model.parameters()) / 1e6
        for engine in engines if isinstance(model, VMamba) else ["-"]:
            dtype = getattr(torch, options.dtype)
            with use_engine(engine):  # the others never ask for a scan
                times = model_times(model, images, dtype, options.repeats)
            table.add_row(name, engine, f"{weights:.1f}", *(f"{t:.1f}" for t in times))
        model.cpu()
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--quick", action="store_true", help="tiny shapes: does the script work?")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.image, options.repeats = 1, 16, 1
    device = torch.device(options.device)
    console = Console(width=120)
    availability = engine_report(device)
    for engine, why in availability.items():
        console.print(f"{engine}: {why}")
    engines = [name for name, why in availability.items() if why in ("in use", "available")]
    presets, states = (("nano",), (1,)) if options.quick else (("nano", "tiny"), (1, 16))
    found = list(preset_scans(presets, states, options.image))
    if options.quick:
        found = [replace(stage, channels=8) for stage in found if stage.side > 1]
    fine = "triton" not in engines or report_agreement(console, found, device)
    report_scans(console, found, engines, device, options)
    report_models(console, engines, device, options)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
