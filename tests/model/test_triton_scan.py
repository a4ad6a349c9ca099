"""The Triton engine against the torch engine in float64.

Where ``TRITON_INTERPRET`` is 1 the kernels run in triton's interpreter on the CPU, elsewhere on a
GPU. It must be set before triton is imported, so one test here runs this file in another process.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.checkpoint import load_public_vmamba
from aesmamba_sdk.model.selective_scan import (
    choose_engine,
    cross_selective_scan,
    engine_report,
    selective_scan,
    use_engine,
)

ROOT = Path(__file__).parents[2]
PARITY = Path(__file__).parent / "parity"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=pytest.mark.cuda)]

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    reason = engine_report(torch.device(request.param))["triton"]
    assert reason in ("in use", "available"), reason
    return torch.device(request.param)


@pytest.fixture
def short_chunks(monkeypatch):
    """Several chunks to a path, the last one incomplete, on images small enough to interpret."""
    from aesmamba_sdk.model.selective_scan import triton_engine

    monkeypatch.setattr(triton_engine, "_CHUNK_STEPS", (4, 4))
    monkeypatch.setattr(triton_engine, "_ONE_CHUNK", 4)
    return triton_engine


def problem(size, channels, state, rank, device, batch=1, seed=3) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    pixels = size[0] * size[1]
    tensors = (
        rand(batch, pixels, channels),
        rand(batch, pixels, 4, rank + 2 * state),
        rand(4, channels, rank),
        rand(4, channels),
        -rand(4, channels, state).exp(),
        rand(4, channels),
    )
    return [t.to(device).requires_grad_() for t in tensors]


def in_float64(args: list[Tensor]) -> list[Tensor]:
    return [t.detach().cpu().double().requires_grad_() for t in args]


def run(engine: str, args: list[Tensor], size) -> tuple[Tensor, ...]:
    """Output and gradient of every argument, for one fixed gradient of the output."""
    with use_engine(engine):
        y = cross_selective_scan(*args, size)
    slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return y.detach(), *torch.autograd.grad(y, args, slope)


def worst(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    return float((a - b).abs().max() / b.abs().max())


def assert_parity(args, size, output=1e-6, gradient=2e-6) -> None:
    got, want = run("triton", args, size), run("torch", in_float64(args), size)
    errors = [worst(a, b) for a, b in zip(got, want, strict=True)]
    assert errors[0] < output
    assert max(errors[1:]) < gradient


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="this is the interpreted run")
def test_parity_in_the_interpreter():
    nested = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", __file__],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert nested.returncode == 0, nested.stdout + nested.stderr
    assert re.search(r"[1-9]\d* passed", nested.stdout), nested.stdout


@pytest.mark.parametrize(
    ("size", "channels", "state", "rank"),
    [((3, 5), 8, 1, 1), ((5, 2), 40, 3, 2), ((1, 6), 8, 16, 5), ((7, 1), 3, 2, 3)],
)
def test_outputs_and_gradients_equal_the_torch_engine(
    device, short_chunks, size, channels, state, rank
):
    assert_parity(problem(size, channels, state, rank, device), size)


def test_samples_do_not_mix_even_when_they_take_turns(device, short_chunks, monkeypatch):
    size = (3, 2)
    args = problem(size, 4, 2, 1, device, batch=3)
    assert_parity(args, size)
    together = run("triton", args, size)
    monkeypatch.setattr(short_chunks, "_BLOCK_STATES", 4 * 6 * 2 * 4 * 2)  # two samples, then one
    for a, b in zip(run("triton", args, size), together, strict=True):
        assert worst(a, b) < 1e-6


def test_one_chunk_is_enough_for_a_small_image(device):
    assert_parity(problem((2, 4), 8, 1, 2, device), (2, 4))


def test_large_and_tiny_steps_neither_overflow_nor_lose_the_state(device, short_chunks):
    size = (3, 4)
    args = problem(size, 8, 2, 1, device)
    with torch.no_grad():
        args[1][..., 0] = torch.linspace(-60, 300, 12, device=device)[:, None]
        args[2].abs_()
        args[4].mul_(50)
    assert_parity(args, size)
    assert all(torch.isfinite(t).all() for t in run("triton", args, size))


def test_half_precision_is_scanned_in_float32(device, short_chunks):
    size = (3, 2)
    args = problem(size, 8, 2, 1, device)
    args[:2] = [t.detach().bfloat16().requires_grad_() for t in args[:2]]
    got, want = run("triton", args, size), run("torch", in_float64(args), size)
    assert got[0].dtype == torch.float32
    assert [t.dtype for t in got[1:]] == [t.dtype for t in args]
    assert worst(got[0], want[0]) < 1e-6
    for a, b in zip(got[1:], want[1:], strict=True):
        assert worst(a, b) < 5e-3


def test_strided_inputs_are_read_right(device, short_chunks):
    size = (2, 3)
    args = problem(size, 8, 1, 1, device)
    args[0] = args[0].detach().mT.contiguous().mT.requires_grad_()
    assert_parity(args, size)


def test_float64_and_the_one_dimensional_scan_are_left_to_torch(device):
    size = (2, 3)
    args = [t.detach().double() for t in problem(size, 4, 1, 1, device)]
    with use_engine("triton"):
        assert cross_selective_scan(*args, size).dtype == torch.float64
        u = torch.randn(1, 2, 5, device=device)
        B = torch.randn(1, 1, 3, 5, device=device)
        A = -torch.ones(2, 3, device=device)
        got = selective_scan(u, u, A, B, B, delta_softplus=True)
    with use_engine("torch"):
        assert torch.equal(got, selective_scan(u, u, A, B, B, delta_softplus=True))


@pytest.mark.skipif(INTERPRETED, reason="triton's interpreter serves the CPU")
def test_a_processor_is_refused_with_the_reason():
    with use_engine("triton"), pytest.raises(SetupError, match="needs a CUDA device, not cpu"):
        choose_engine(torch.device("cpu"))


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("size", "channels", "state", "rank"),
    [((56, 56), 96, 1, 6), ((56, 56), 192, 16, 6), ((31, 17), 100, 3, 24), ((7, 7), 768, 1, 48)],
)
def test_sizes_of_real_models_on_a_gpu(size, channels, state, rank):
    args = problem(size, channels, state, rank, torch.device("cuda"), batch=2)
    assert_parity(args, size, output=1e-5, gradient=5e-5)


@pytest.mark.cuda
def test_the_same_input_gives_the_same_gradients_twice():
    size = (28, 28)
    args = problem(size, 192, 1, 12, torch.device("cuda"), batch=4)
    for a, b in zip(run("triton", args, size), run("triton", args, size), strict=True):
        assert torch.equal(a, b)


@pytest.mark.cuda
@pytest.mark.parametrize("layout", ["gen0_d16", "gen1_s1", "gen2_s2"])
def test_whole_models_equal_the_reference_on_a_gpu(layout):
    answer = {k: torch.from_numpy(v) for k, v in np.load(PARITY / f"{layout}.npz").items()}
    model = load_public_vmamba(PARITY / f"{layout}.pth").cuda()
    with use_engine("triton"), torch.no_grad():
        maps = model.stage_maps(answer["image"].cuda())
    for i, stage in enumerate(maps):
        with torch.no_grad():
            stage = model.downsamples[i](stage) if i < len(model.downsamples) else stage
        stage = stage if layout == "gen0_d16" else stage.permute(0, 3, 1, 2)
        assert worst(stage, answer[f"stage{i}"]) < 1e-4


KERNELS = (
    "step_sizes",
    "chunk_ends",
    "enter_chunks",
    "outputs",
    "states_before",
    "adjoint_ends",
    "gradients",
)


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("state", "rank"), [(1, 6), (16, 12)])
def test_kernels_compile_for_a_gpu_that_is_not_here(name, state, rank, tmp_path, monkeypatch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if "constexprs" not in inspect.signature(ASTSource).parameters:
        pytest.skip(f"triton {triton.__version__} compiles ahead of time in another way")
    from aesmamba_sdk.model.selective_scan import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernels, name)
    fixed = {"N": state, "R": rank, "PAD_N": state, "PAD_R": 16}
    fixed |= {"BLOCK": 32, "PIXELS": 64, "REVERSE": True}
    numbers = ("chunks", "steps", "height", "length", "D")
    signature = {
        argument: "constexpr"
        if argument in fixed
        else "i32"
        if argument in numbers
        else "*bf16"
        if argument in ("x", "x_dbl")
        else "*fp32"
        for argument in kernel.arg_names
    }
    constants = {k: v for k, v in fixed.items() if k in signature}
    source = ASTSource(kernel, signature, constexprs=constants)
    built = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 4})
    assert built.asm["cubin"]
