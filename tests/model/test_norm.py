"""Native layer norms against float64 and torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import norm as module
from aesmamba_sdk.model.norm import layer_norm

WIDTHS = [1, 5, 16, 24, 37, 48, 96, 100, 192, 384, 3072]


def a_layer(channels: int, epsilon: float = 1e-5) -> nn.LayerNorm:
    torch.manual_seed(channels)
    layer = nn.LayerNorm(channels, eps=epsilon)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def exact(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    weight, bias = layer.weight.double(), layer.bias.double()
    return F.layer_norm(x.double(), layer.normalized_shape, weight, bias, layer.eps)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("channels", WIDTHS)
def test_every_width_is_as_exact_as_torch(channels: int) -> None:
    layer = a_layer(channels)
    x = torch.randn(3, 7, channels) * 3 + 40
    with torch.inference_mode():
        error = (layer_norm(layer, x) - exact(layer, x)).abs().max()
        torchs = (layer(x) - exact(layer, x)).abs().max()
    assert error <= max(1e-6, 2 * torchs)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("channels", WIDTHS)
def test_nothing_beyond_the_rows_is_written(channels: int) -> None:
    layer = a_layer(channels)
    memory = torch.randn(6 * channels)
    x = memory[channels : 5 * channels].view(4, channels)
    with torch.inference_mode():
        want = exact(layer, x).float()
        before = memory.clone()
        got = layer_norm(layer, x, in_place=True)
    torch.testing.assert_close(got, want)
    assert got.data_ptr() == x.data_ptr()
    assert torch.equal(memory[:channels], before[:channels])
    assert torch.equal(memory[5 * channels :], before[5 * channels :])


@pytest.mark.usefixtures("isa")
def test_equal_channels_become_the_bias_and_nan_stays() -> None:
    layer = a_layer(48)
    x = torch.randn(3, 48)
    x[0], x[1, 5] = 7.0, torch.nan
    with torch.inference_mode():
        y = layer_norm(layer, x)
    torch.testing.assert_close(y[0], layer.bias.detach())
    assert y[1].isnan().all()
    assert not y[2].isnan().any()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("channels", WIDTHS)
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_under_autocast_results_are_torchs_rounded_for_the_product(
    channels: int, given: torch.dtype
) -> None:
    layer = a_layer(channels)
    x = (torch.randn(3, 7, channels) * 3 + 2).to(given)
    x[1, 2] = torch.nan
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        want = layer(x)
        same_type = layer_norm(layer, x)
        multiplied = layer_norm(layer, x, multiplied=True)
    assert same_type.dtype == want.dtype == given
    torch.testing.assert_close(same_type, want, equal_nan=True)
    assert multiplied.dtype == torch.bfloat16
    assert torch.equal(multiplied.nan_to_num(9.0), same_type.bfloat16().nan_to_num(9.0))


@pytest.mark.usefixtures("native")
def test_what_is_of_another_type_than_the_result_is_not_overwritten() -> None:
    layer, x = a_layer(48), torch.randn(7, 48)
    before = x.clone()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        layer_norm(layer, x, multiplied=True, in_place=True)
    assert torch.equal(x, before)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("rows", [1, 1000, 20000])
def test_threads_change_nothing(rows: int) -> None:
    layer, x = a_layer(24), torch.randn(rows, 24)
    with torch.inference_mode():
        one = layer_norm(layer, x)
        torch.set_num_threads(2)
        try:
            two = layer_norm(layer, x)
        finally:
            torch.set_num_threads(1)
    assert torch.equal(one, two)


class Doubled(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("layer", "x"),
    [
        pytest.param(Doubled(24), torch.randn(5, 24), id="what replaces a layer"),
        pytest.param(a_layer(24).double(), torch.randn(5, 24).double(), id="float64"),
        pytest.param(a_layer(24), torch.randn(24, 5).t(), id="strides"),
        pytest.param(nn.LayerNorm((5, 24)), torch.randn(2, 5, 24), id="two axes"),
        pytest.param(
            nn.LayerNorm(24, elementwise_affine=False), torch.randn(5, 24), id="no weight"
        ),
        pytest.param(nn.LayerNorm(24, bias=False), torch.randn(5, 24), id="no bias"),
        pytest.param(a_layer(24), torch.randn(0, 24), id="no rows"),
    ],
)
def test_what_the_library_cannot_read_goes_to_the_layer(layer: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        assert torch.equal(layer_norm(layer, x), layer(x))


@pytest.mark.usefixtures("native")
def test_gradients_are_torchs() -> None:
    layer, x = a_layer(24), torch.randn(5, 24, requires_grad=True)
    y = layer_norm(layer, x, in_place=True)
    assert torch.equal(y, layer(x))
    y.sum().backward()
    assert x.grad is not None


@pytest.mark.usefixtures("native")
def test_without_the_library_torch_normalises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_library", lambda: None)
    layer, x = a_layer(24), torch.randn(5, 24)
    with torch.inference_mode():
        assert torch.equal(layer_norm(layer, x), layer(x))
    assert module.layer_norm_report() == "torch"


def test_the_layer_runs_on_meta() -> None:
    layer = a_layer(24).to("meta")
    with torch.inference_mode():
        assert layer_norm(layer, torch.empty(5, 24, device="meta")).shape == (5, 24)
