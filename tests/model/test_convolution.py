"""A convolution and its SiLU in one pass against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import convolution as module
from aesmamba_sdk.model.convolution import convolve_silu, pack


@pytest.fixture(params=["fused", "plain"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(module, "_fused_convolution", lambda: None)
    elif module._fused_convolution() is None:
        pytest.skip("this build of torch has no fused convolution")


def layer_and_photo(channels: int, *, bias: bool) -> tuple[nn.Conv2d, Tensor]:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)
    x = 3 * torch.randn(2, 7, 5, channels)
    return layer.to(memory_format=torch.channels_last), x  # type: ignore[call-overload]


def exact(layer: nn.Conv2d, x: Tensor) -> Tensor:
    weight, bias = layer.weight.double(), None if layer.bias is None else layer.bias.double()
    maps = x.double().permute(0, 3, 1, 2)
    y = F.conv2d(maps, weight, bias, padding=1, groups=layer.groups)
    return F.silu(y).permute(0, 2, 3, 1)


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("channels", [3, 16, 24])
@pytest.mark.parametrize("bias", [True, False])
def test_inference_is_as_exact_as_the_plain_layers(channels: int, bias: bool) -> None:
    layer, x = layer_and_photo(channels, bias=bias)
    with torch.inference_mode():
        got = convolve_silu(layer, x)
        want = exact(layer, x)
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_the_plain_layers() -> None:
    layer, x = layer_and_photo(8, bias=True)
    x.requires_grad_()
    got = torch.autograd.grad(convolve_silu(layer, x).square().sum(), (x, layer.weight))
    want = torch.autograd.grad(
        F.silu(layer(x.permute(0, 3, 1, 2))).square().sum(), (x, layer.weight)
    )
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_other_types_and_layers_go_the_usual_way() -> None:
    layer, x = layer_and_photo(8, bias=True)
    with torch.inference_mode():
        wide = convolve_silu(layer.double(), x.double())
    assert wide.dtype == torch.float64


@pytest.mark.usefixtures("isa", "every_instruction_set")
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 3), (3, 6), (7, 5), (4, 14)])
@pytest.mark.parametrize("channels", [2, 5, 16, 24, 48, 100])
def test_packed_every_size_is_as_exact(size: tuple[int, int], channels: int) -> None:
    x = 3 * torch.randn(2, *size, channels)
    for bias in (True, False):
        layer, _ = layer_and_photo(channels, bias=bias)
        pack(layer)
        with torch.inference_mode():
            assert module._depthwise(layer, x) is not None
            want = exact(layer, x)
            torch.testing.assert_close(convolve_silu(layer, x).double(), want, rtol=1e-6, atol=2e-6)


@pytest.mark.usefixtures("isa", "every_instruction_set")
def test_silu_of_extremes_is_no_surprise() -> None:
    layer, _ = layer_and_photo(16, bias=False)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.weight[:, :, 1, 1] = 1
    pack(layer)
    values = torch.tensor(
        [-1e38, -1e30, -200, -88, -20, -1e-30, 0, 1e-30, 20, 88, 200, 1e30, torch.nan]
    )
    with torch.inference_mode():
        y = convolve_silu(layer, values[:, None, None, None].expand(-1, 1, 1, 16).contiguous())
        lowest = convolve_silu(layer, torch.full((1, 1, 1, 16), -torch.inf))
    torch.testing.assert_close(y[:, 0, 0, 3], F.silu(values), equal_nan=True, rtol=1e-6, atol=1e-7)
    assert lowest.abs().max() < 1e-30


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("batch", [1, 40])
def test_threads_change_nothing(batch: int) -> None:
    layer, _ = layer_and_photo(24, bias=True)
    pack(layer)
    x = torch.randn(batch, 30, 20, 24)
    with torch.inference_mode():
        one = convolve_silu(layer, x)
        torch.set_num_threads(3)
        try:
            assert torch.equal(convolve_silu(layer, x), one)
        finally:
            torch.set_num_threads(1)


@pytest.mark.usefixtures("native")
def test_only_the_convolution_it_knows_is_the_librarys() -> None:
    x = torch.randn(1, 6, 6, 8)
    for kind in (
        {"kernel_size": 3, "padding": 0},
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    ):
        layer = nn.Conv2d(8, 8, groups=8, **kind)  # type: ignore[arg-type]
        pack(layer)
        with torch.inference_mode():
            assert module._depthwise(layer, x) is None
    layer, _ = layer_and_photo(8, bias=True)
    pack(layer)
    with torch.inference_mode():
        assert module._depthwise(layer, x) is not None
        assert module._depthwise(layer, x[..., :4].contiguous()) is None
        assert module._depthwise(layer, x.transpose(1, 2)) is None
    assert module._depthwise(layer, x) is None, "with gradients"
