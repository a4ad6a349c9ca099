"""Fused linear layers against torch's own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import chain
from aesmamba_sdk.model import linear as module
from aesmamba_sdk.model.linear import linear, mlp, project
from aesmamba_sdk.model.pack import pack


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(24, 40)


@pytest.fixture(params=["fused", "plain"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(module, "_fused_linear", lambda: None)
    elif module._fused_linear() is None:
        pytest.skip("this build of torch has no fused linear layer")


@pytest.fixture(params=["native", "oneDNN"])
def either_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "native":
        request.getfixturevalue("native")
    else:
        monkeypatch.setattr(chain, "serving_library", lambda: None)


SHAPES = [(5, 24), (2, 3, 4, 24)]


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("shape", SHAPES)
def test_inference_equals_the_plain_layers(layer: nn.Linear, shape: tuple[int, ...]) -> None:
    x, residual = torch.randn(shape), torch.randn(*shape[:-1], 40)
    with torch.inference_mode():
        want = F.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(linear(layer, x), want)
        torch.testing.assert_close(project(x, layer.weight), want - layer.bias)
        torch.testing.assert_close(linear(layer, x, residual=residual), want + residual)
        narrow = nn.Linear(40, 24)
        want = narrow(F.gelu(want))
        torch.testing.assert_close(mlp(layer, narrow, x), want)
        torch.testing.assert_close(mlp(layer, narrow, x, residual=x), want + x)


@pytest.mark.usefixtures("either_path")
def test_strided_input_is_read_as_it_is_laid_out(layer: nn.Linear) -> None:
    x = torch.randn(3, 24, 7).transpose(1, 2)
    with torch.inference_mode():
        want = F.linear(x.contiguous(), layer.weight, layer.bias)
        torch.testing.assert_close(linear(layer, x), want)
        narrow = nn.Linear(40, 8)
        torch.testing.assert_close(mlp(layer, narrow, x), narrow(F.gelu(want)))


def gradients(run: Callable[[], Tensor], *wanted: Tensor) -> tuple[Tensor, ...]:
    out = run()
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    loss = (out * weights).sum()
    return torch.autograd.grad(loss, wanted, materialize_grads=True)


@pytest.mark.usefixtures("either_path", "either_order")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_equal_the_plain_layers(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(24, 40, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    residual = torch.randn(*shape[:-1], 40, requires_grad=True)
    norm, narrow = nn.LayerNorm(24), nn.Linear(40, 40, bias=bias)
    wanted = (x, residual, *layer.parameters(), *norm.parameters(), *narrow.parameters())
    for ours, plain in (
        (lambda: linear(layer, x), lambda: layer(x)),
        (
            lambda: linear(layer, x, norm=norm, residual=residual),
            lambda: layer(norm(x)) + residual,
        ),
        (
            lambda: mlp(layer, narrow, x, norm=norm, residual=residual),
            lambda: narrow(F.gelu(layer(norm(x)))) + residual,
        ),
    ):
        torch.testing.assert_close(ours(), plain())
        for got, want in zip(gradients(ours, *wanted), gradients(plain, *wanted), strict=True):
            torch.testing.assert_close(got, want)


@pytest.mark.usefixtures("either_order")
@pytest.mark.parametrize("rows", [1, 39, 40, 4096])
def test_gradients_of_weights_lie_as_the_weights_do(rows: int) -> None:
    """Autograd copies those that do not; that of many rows is computed as its transpose."""
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 5), torch.randn(rows, 3)
    (got,) = gradients(lambda: linear(layer, x), layer.weight)
    (want,) = gradients(lambda: layer(x), layer.weight)
    assert got.is_contiguous() or rows >= 8 * 5
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("either_order")
@pytest.mark.parametrize("frozen", range(6))
def test_two_layers_give_gradients_to_what_wants_them(frozen: int) -> None:
    torch.manual_seed(0)
    widen, narrow = nn.Linear(24, 40), nn.Linear(40, 24)
    x, residual = torch.randn(5, 24, requires_grad=True), torch.randn(5, 24, requires_grad=True)
    everything = [x, residual, *widen.parameters(), *narrow.parameters()]
    everything.pop(frozen).requires_grad_(False)
    ours = gradients(lambda: mlp(widen, narrow, x, residual=residual), *everything)
    plain = gradients(lambda: narrow(F.gelu(widen(x))) + residual, *everything)
    for got, want in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, want)


def test_a_frozen_weight_gets_no_gradient(layer: nn.Linear) -> None:
    layer.requires_grad_(False)
    x = torch.randn(5, 24, requires_grad=True)
    linear(layer, x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(5, 24))
    assert layer.weight.grad is None


def test_what_replaces_a_layer_is_called(layer: nn.Linear) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    doubled = Doubled(24, 40)
    doubled.load_state_dict(layer.state_dict())
    x, residual = torch.randn(5, 24), torch.randn(5, 40)
    with torch.inference_mode():
        torch.testing.assert_close(linear(doubled, x), 2 * layer(x))
        torch.testing.assert_close(linear(doubled, x, residual=residual), 2 * layer(x) + residual)
        narrow = nn.Linear(40, 8)
        torch.testing.assert_close(mlp(doubled, narrow, x), narrow(F.gelu(2 * layer(x))))


def test_other_types_and_autocast_keep_torchs_layers(layer: nn.Linear) -> None:
    x = torch.randn(5, 24)
    pack(layer)  # a weight in oneDNN's order is none that torch's layers could read
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert linear(layer, x).dtype == torch.bfloat16
    double = layer.double()
    assert mlp(double, nn.Linear(40, 8).double(), x.double()).dtype == torch.float64


def test_the_layers_run_on_meta(layer: nn.Linear) -> None:
    x = torch.empty(5, 24, device="meta")
    layer = layer.to("meta")
    assert linear(layer, x, residual=x.new_empty(5, 40)).shape == (5, 40)
    assert mlp(layer, nn.Linear(40, 8, device="meta"), x, residual=x[:, :8]).shape == (5, 8)


@pytest.mark.usefixtures("either_order")
def test_a_packed_layer_says_the_same_until_its_weight_changes(layer: nn.Linear) -> None:
    x = torch.randn(5, 24)
    pack(layer)
    with torch.inference_mode():
        torch.testing.assert_close(linear(layer, x), layer(x))
    with torch.no_grad():
        layer.weight.mul_(2)
    with torch.inference_mode():
        torch.testing.assert_close(linear(layer, x), layer(x))
        narrow = nn.Linear(40, 8)
        torch.testing.assert_close(mlp(layer, narrow, x), narrow(F.gelu(layer(x))))
    copied = copy.deepcopy(layer).requires_grad_()
    pack(copied)
    (gradient,) = gradients(lambda: linear(copied, x), copied.weight)
    assert gradient.shape == (40, 24)


@pytest.mark.usefixtures("either_order")
def test_a_packed_layer_can_move_to_another_type(layer: nn.Linear) -> None:
    pack(layer)
    layer.double()
    x = torch.randn(5, 24, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(linear(layer, x), layer(x))


def test_functions_that_torch_transforms_see_the_usual_layers(layer: nn.Linear) -> None:
    narrow, norm, x = nn.Linear(40, 24), nn.LayerNorm(24), torch.randn(3, 5, 24)

    def ours(x: Tensor) -> Tensor:
        return mlp(layer, narrow, x, norm=norm, residual=x).square().sum()

    def plain(x: Tensor) -> Tensor:
        return (narrow(F.gelu(layer(norm(x)))) + x).square().sum()

    for transform in (
        torch.func.vmap,
        torch.func.grad,
        lambda f: torch.func.vmap(torch.func.grad(f)),
        lambda f: torch.no_grad()(torch.func.vmap(f)),
    ):
        torch.testing.assert_close(transform(ours)(x), transform(plain)(x))


@pytest.mark.parametrize("features", [4, 10, 16])
def test_two_layers_refuse_another_number_of_features(features: int) -> None:
    widen, narrow = nn.Linear(8, 4), nn.Linear(4, 16)
    with pytest.raises(RuntimeError):
        mlp(widen, narrow, torch.randn(64, features))
