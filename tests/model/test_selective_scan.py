"""The scan against a sequential float64 loop, its gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.selective_scan import (
    choose_engine,
    cross_selective_scan,
    engine_report,
    selective_scan,
    use_engine,
)
from aesmamba_sdk.model.selective_scan.directions import cross_scan, merge_directions
from aesmamba_sdk.model.selective_scan.mamba_ssm import MambaSsmEngine

CPU = torch.device("cpu")
ENGINES = [name for name, why in engine_report(CPU).items() if why in ("in use", "available")]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest):
    with use_engine(request.param):
        yield request.param


def sequential_scan(u, delta, A, B, C, D, bias) -> Tensor:
    """The definition, one step at a time, in float64."""
    u, delta, A, B, C, D, bias = (t.double() for t in (u, delta, A, B, C, D, bias))
    dt = F.softplus(delta + bias[:, None])
    width = u.shape[1] // B.shape[1]
    B, C = (t.repeat_interleave(width, dim=1) for t in (B, C))  # (b, channels, N, L)
    h = torch.zeros(*u.shape[:2], A.shape[1], dtype=torch.float64)
    ys = []
    for t in range(u.shape[2]):
        h = torch.exp(dt[:, :, t, None] * A) * h + (dt * u)[:, :, t, None] * B[..., t]
        ys.append((h * C[..., t]).sum(-1))
    return torch.stack(ys, -1) + D[:, None] * u


def problem(batch=2, channels=8, groups=2, state=3, length=37, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)  # noqa: E731
    return (
        rand(batch, channels, length),
        rand(batch, channels, length),
        -rand(channels, state).exp(),
        rand(batch, groups, state, length),
        rand(batch, groups, state, length),
        rand(channels),
        rand(channels),
    )


def worst(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().double().abs().max() / b.detach().abs().max())


@pytest.mark.parametrize("length", [1, 2, 3, 36, 37, 200])
@pytest.mark.parametrize(("groups", "state"), [(1, 1), (4, 1), (2, 16)])
def test_scan_equals_the_sequential_definition(engine, length, groups, state):
    args = problem(groups=groups, state=state, length=length)
    y = selective_scan(*args, delta_softplus=True)
    assert y.dtype == torch.float32
    assert worst(y, sequential_scan(*args)) < 1e-6


def test_scan_gradients_equal_autograd_through_the_definition(engine):
    args = [t.requires_grad_() for t in problem(groups=2, state=4, length=50)]
    weight = torch.randn(2, 8, 50, generator=torch.Generator().manual_seed(1))
    grads = torch.autograd.grad((selective_scan(*args, delta_softplus=True) * weight).sum(), args)
    expected = torch.autograd.grad((sequential_scan(*args) * weight.double()).sum(), args)
    for got, want in zip(grads, expected, strict=True):
        assert worst(got, want) < 5e-6


def test_torch_engine_passes_gradcheck_in_float64():
    args = problem(batch=2, channels=4, groups=2, state=2, length=7, dtype=torch.float64)
    args = tuple(t.requires_grad_() for t in args)
    with use_engine("torch"):
        assert torch.autograd.gradcheck(lambda *a: selective_scan(*a, delta_softplus=True), args)


def test_large_and_tiny_steps_neither_overflow_nor_lose_the_state(engine):
    u, delta, A, B, C, D, bias = problem(channels=4, groups=1, state=2, length=64)
    delta = torch.linspace(-60, 300, 64).expand_as(delta).contiguous()
    A = A * 50
    args = [t.requires_grad_() for t in (u, delta, A, B, C, D, bias)]
    y = selective_scan(*args, delta_softplus=True)
    assert worst(y, sequential_scan(*args)) < 1e-6
    for grad in torch.autograd.grad(y.square().sum(), args):
        assert torch.isfinite(grad).all()


def test_blocks_of_samples_and_groups_change_nothing(monkeypatch):
    from aesmamba_sdk.model.selective_scan import pure_torch

    args = [t.requires_grad_() for t in problem(batch=3, channels=8, groups=4, length=20)]
    with use_engine("torch"):
        whole = selective_scan(*args, delta_softplus=True)
        whole_grads = torch.autograd.grad(whole.square().sum(), args)
        for states in (1, 3 * 2 * 20 * 4 * 2):
            monkeypatch.setattr(pure_torch, "_BLOCK_STATES", states)
            parts = selective_scan(*args, delta_softplus=True)
            torch.testing.assert_close(parts, whole)
            grads = torch.autograd.grad(parts.square().sum(), args)
            for got, want in zip(grads, whole_grads, strict=True):
                torch.testing.assert_close(got, want)


def test_half_precision_inputs_are_scanned_in_float32(engine):
    args = problem()
    u, delta, A, B, C, D, bias = args
    half = selective_scan(
        u.bfloat16(), delta.bfloat16(), A, B.bfloat16(), C.bfloat16(), D, bias, True
    )
    assert half.dtype == torch.float32
    assert worst(half, sequential_scan(*args)) < 0.05


def image_problem(size=(5, 3), channels=16, state=2, rank=2, dtype=torch.float32):
    g = torch.Generator().manual_seed(3)
    rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)  # noqa: E731
    pixels = size[0] * size[1]
    return (
        rand(2, pixels, channels),
        rand(2, pixels, 4, rank + 2 * state),
        rand(4, channels, rank),
        rand(4, channels),
        -rand(4, channels, state).exp(),
        rand(4, channels),
    )


def visit(x: Tensor, size: tuple[int, int], k: int) -> list[int]:
    """Pixel indices in the order of direction k, by the plainest loops."""
    height, width = size
    rows = [h * width + w for h in range(height) for w in range(width)]
    columns = [h * width + w for w in range(width) for h in range(height)]
    return [rows, columns, rows[::-1], columns[::-1]][k]


def sequential_cross_scan(x, x_dbl, dt_weight, dt_bias, A, D, size) -> Tensor:
    y = torch.zeros_like(x, dtype=torch.float64)
    rank, state = dt_weight.shape[-1], A.shape[-1]
    for k in range(4):
        order = visit(x, size, k)
        dt, B, C = x_dbl[:, order, k].split([rank, state, state], -1)
        delta = (dt @ dt_weight[k].T).transpose(1, 2)
        B, C = (t.transpose(1, 2).unsqueeze(1) for t in (B, C))
        u = x[:, order].transpose(1, 2)
        out = sequential_scan(u, delta, A[k], B, C, D[k], dt_bias[k])
        y[:, order] += out.transpose(1, 2)
    return y


@pytest.mark.parametrize("size", [(5, 3), (4, 4), (1, 6), (7, 1), (9, 16)])
@pytest.mark.parametrize("state", [1, 4])
def test_cross_scan_visits_every_pixel_in_four_orders(engine, size, state):
    args = image_problem(size, state=state)
    assert worst(cross_selective_scan(*args, size), sequential_cross_scan(*args, size)) < 1e-6


def test_cross_scan_gradients_equal_autograd_through_the_definition(engine):
    size = (5, 7)
    args = [t.requires_grad_() for t in image_problem(size, state=2)]
    grads = torch.autograd.grad(cross_selective_scan(*args, size).square().sum(), args)
    expected = torch.autograd.grad(sequential_cross_scan(*args, size).square().sum(), args)
    for got, want in zip(grads, expected, strict=True):
        assert worst(got, want) < 5e-6


def test_autocast_rounds_nothing_inside_the_scan(engine):
    args, size = [t.requires_grad_() for t in image_problem((5, 7), rank=8)], (5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = cross_selective_scan(*args, size)
    assert worst(y, sequential_cross_scan(*args, size)) < 1e-6
    grads = torch.autograd.grad(y.square().sum(), args)
    expected = torch.autograd.grad(sequential_cross_scan(*args, size).square().sum(), args)
    for got, want in zip(grads, expected, strict=True):
        assert worst(got, want) < 5e-6


def test_merging_undoes_scanning():
    x = torch.randn(2, 15, 3)
    torch.testing.assert_close(merge_directions(cross_scan(x, (5, 3)), (5, 3)), 4 * x)


def test_mamba_ssm_leaves_to_torch_what_its_kernel_cannot_scan():
    args = problem(dtype=torch.float64)
    y = MambaSsmEngine().scan(*args, delta_softplus=True)
    assert y.dtype == torch.float64
    assert worst(y, sequential_scan(*args)) < 1e-14
    assert MambaSsmEngine().scan(*problem(batch=0), delta_softplus=True).shape == (0, 8, 37)


def test_wrong_shapes_are_named():
    u, delta, A, B, C, _, _ = problem()
    with pytest.raises(ValueError, match="delta"):
        selective_scan(u, delta[..., 1:], A, B, C)
    with pytest.raises(ValueError, match=r"B .* must be"):
        selective_scan(u, delta, A, B[..., 1:], C)
    with pytest.raises(ValueError, match="15 pixels"):
        cross_selective_scan(*image_problem((5, 3)), (4, 3))


def test_a_state_of_nothing_is_refused(engine):
    args = image_problem(state=0)
    with pytest.raises(ValueError, match=r"A \(4, 16, 0\) must have a state"):
        cross_selective_scan(*args, (5, 3))
    with pytest.raises(ValueError, match=r"A \(8, 0\) must have a state"):
        selective_scan(*problem(state=0))


@pytest.mark.parametrize("moved", range(1, 6))
def test_tensors_of_other_devices_are_named(engine, moved):
    args = list(image_problem())
    args[moved] = args[moved].to("meta")  # no engine may follow its address
    with pytest.raises(ValueError, match="is on meta, and what is scanned on cpu"):
        cross_selective_scan(*args, (5, 3))


@pytest.mark.parametrize(
    ("batch", "size", "channels"), [(0, (5, 3), 8), (2, (0, 3), 8), (2, (5, 3), 0)]
)
def test_of_nothing_comes_nothing(engine, batch, size, channels):
    args = [t.requires_grad_() for t in image_problem(size, channels=channels)]
    args[:2] = [t[:batch] for t in args[:2]]
    y = cross_selective_scan(*args, size)
    assert y.shape == args[0].shape
    for gradient in torch.autograd.grad(y.sum(), args):
        assert not gradient.any()


def test_an_unknown_or_unusable_engine_is_refused_with_the_reason():
    with use_engine("abacus"), pytest.raises(SetupError, match=r"abacus.*there are:.*torch"):
        choose_engine(CPU)
    with use_engine("mamba-ssm"), pytest.raises(SetupError, match="CUDA device"):
        choose_engine(CPU)


def test_the_environment_chooses_an_engine(monkeypatch):
    monkeypatch.setenv("AESMAMBA_SCAN", "torch")
    assert choose_engine(CPU).name == "torch"
    assert engine_report(CPU)["torch"] == "in use"


def test_scan_keeps_shape_on_the_meta_device():
    args = [t.to("meta") for t in image_problem()]
    with use_engine("torch"):
        assert cross_selective_scan(*args, (5, 3)).shape == (2, 15, 16)
