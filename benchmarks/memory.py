"""Peak memory of each network, in a process of its own, beyond what the imports took.

``python -m benchmarks.memory NETWORK inference|training BATCH IMAGE THREADS`` prints bytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from aesmamba_sdk.evaluate.report import Result, Table
from benchmarks import models
from benchmarks.options import Options

PURPOSES = ("inference", "training")
_CALLS = 2
_MIB = 2**20


def measure(options: Options) -> Result:
    """Weights included; a training step holds gradients and AdamW's two moments as well."""
    batches = [("inference", b) for b in options.batches] + [("training", options.most_images)]
    columns = [f"{purpose}, batch {batch}" for purpose, batch in batches]
    table = Table(f"Peak memory beyond the imports, MiB, {options.image} px", ("network", *columns))
    for name in (*options.encoders, *options.company):
        cells = [_peak(name, purpose, batch, options) / _MIB for purpose, batch in batches]
        table.add(name, *cells)
    return Result("memory", [table])


def _peak(name: str, purpose: str, batch: int, options: Options) -> int:
    numbers = [str(n) for n in (batch, options.image, options.most_threads)]
    command = [sys.executable, "-m", "benchmarks.memory", name, purpose, *numbers]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    name, purpose = sys.argv[1:3]
    batch, image, threads = map(int, sys.argv[3:])
    torch.set_num_threads(threads)
    images = torch.randn(batch, 3, image, image)
    imported = peak_bytes()
    measured = network(name, purpose)
    if purpose == "training":
        step = models.training_step(measured, images)
        for _ in range(_CALLS):
            step()
    else:
        with torch.inference_mode():
            for _ in range(_CALLS):
                measured(images)
    print(peak_bytes() - imported)


def network(name: str, purpose: str) -> nn.Module:
    """As it learns, or as it scores: packed weights take memory, too."""
    return models.build(name).train() if purpose == "training" else models.scoring(name)


def peak_bytes() -> int:
    """Most resident memory this process has held.

    ``getrusage`` counts what the parent held when it started us, Linux's own file does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
