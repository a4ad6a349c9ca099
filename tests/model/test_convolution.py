"""A convolution and its SiLU in one pass against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import convolution as module
from aesmamba_sdk.model.convolution import convolve_silu


@pytest.fixture(params=["fused", "plain"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(module, "_fused_convolution", lambda: None)
    elif module._fused_convolution() is None:
        pytest.skip("this build of torch has no fused convolution")


def layer_and_photo(channels: int, *, bias: bool) -> tuple[nn.Conv2d, Tensor]:
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)
    x = 3 * torch.randn(2, 7, 5, channels).permute(0, 3, 1, 2)  # channels last
    return layer.to(memory_format=torch.channels_last), x  # type: ignore[call-overload]


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("channels", [3, 16, 24])
@pytest.mark.parametrize("bias", [True, False])
def test_inference_is_as_exact_as_the_plain_layers(channels: int, bias: bool) -> None:
    layer, x = layer_and_photo(channels, bias=bias)
    with torch.inference_mode():
        got = convolve_silu(layer, x)
        weight, offset = layer.weight.double(), None if layer.bias is None else layer.bias.double()
        want = F.silu(F.conv2d(x.double(), weight, offset, padding=1, groups=channels))
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_the_plain_layers() -> None:
    layer, x = layer_and_photo(8, bias=True)
    x.requires_grad_()
    got = torch.autograd.grad(convolve_silu(layer, x).square().sum(), (x, layer.weight))
    want = torch.autograd.grad(F.silu(layer(x)).square().sum(), (x, layer.weight))
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_other_types_and_layers_go_the_usual_way() -> None:
    layer, x = layer_and_photo(8, bias=True)
    with torch.inference_mode():
        wide = convolve_silu(layer.double(), x.double())
    assert wide.dtype == torch.float64
