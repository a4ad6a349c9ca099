"""Layer norm, linear layers and residual sum by the native library, against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.model import chain as module
from aesmamba_sdk.model.chain import Links, convolve, gradient, pack, project, run, widen
from aesmamba_sdk.model.native import library

# Rows around a tile's, inner sizes around a block's and a vector's, columns around a panel's.
SHAPES = [
    (1, 1, 1),
    (2, 5, 3),
    (7, 16, 20),
    (8, 48, 48),
    (9, 17, 33),
    (15, 255, 96),
    (23, 256, 100),
    (50, 257, 49),
    (401, 96, 384),
    (5, 700, 200),
]


pytestmark = pytest.mark.usefixtures("every_instruction_set")


def a_layer(inner: int, columns: int, bias: bool = True) -> nn.Linear:
    torch.manual_seed(inner + columns)
    layer = nn.Linear(inner, columns, bias=bias)
    assert pack(layer.weight)
    return layer


def a_norm(channels: int) -> nn.LayerNorm:
    norm = nn.LayerNorm(channels, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def double(layer: nn.Module) -> nn.Module:
    """The same layer in float64."""
    if isinstance(layer, nn.Linear):
        copy: nn.Module = nn.Linear(
            layer.in_features, layer.out_features, bias=layer.bias is not None
        )
    else:
        assert isinstance(layer, nn.LayerNorm)
        copy = nn.LayerNorm(layer.normalized_shape, eps=layer.eps)
    copy.load_state_dict(layer.state_dict())
    return copy.double()


@torch.inference_mode()
def result(x: Tensor, links: Links) -> Tensor:
    y = run(x, links)
    assert y is not None, "the library should have served"
    return y


@torch.inference_mode()
def exact(x: Tensor, links: Links) -> Tensor:
    y = x.double()
    if links.norm is not None:
        y = double(links.norm)(y)
    y = double(links.first)(y)
    if links.second is not None:
        y = double(links.second)(F.gelu(y))
    return y if links.residual is None else y + links.residual


def error(x: Tensor, links: Links) -> float:
    want = exact(x, links)
    return float((result(x, links) - want).abs().max() / want.abs().max())


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("rows", "inner", "columns"), SHAPES)
def test_one_layer_equals_its_definition(rows: int, inner: int, columns: int) -> None:
    layer = a_layer(inner, columns)
    x = torch.randn(rows, inner)
    residual = torch.randn(rows, columns)
    assert error(x, Links(layer)) < 1e-6
    assert error(x, Links(layer, residual=residual)) < 1e-6
    assert error(x, Links(a_layer(inner, columns, bias=False), norm=a_norm(inner))) < 1e-6


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("rows", "inner", "hidden"), SHAPES)
def test_two_layers_equal_their_definition(rows: int, inner: int, hidden: int) -> None:
    widen, narrow = a_layer(inner, hidden), a_layer(hidden, inner)
    x = torch.randn(rows, inner)
    assert error(x, Links(widen, narrow)) < 1e-6
    assert error(x, Links(widen, narrow, a_norm(inner), residual=x)) < 1e-6
    other = a_layer(hidden, inner + 3, bias=False)
    assert error(x, Links(widen, other, residual=torch.randn(rows, inner + 3))) < 1e-6


def through_gelu(x: Tensor) -> Tensor:
    """GELU of each number alone: between two layers that leave one number as it is."""
    ones = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    for one in ones:
        nn.init.ones_(one.weight)
        assert pack(one.weight)
    return result(x[:, None], Links(*ones))[:, 0]


@pytest.mark.usefixtures("isa")
def test_gelu_is_as_exact_as_torchs_everywhere() -> None:
    x = torch.cat([torch.linspace(-12, 12, 200_001), torch.tensor([0.0, 1e-30, -1e-30])])
    want = F.gelu(x.double())
    scale = want.abs().clamp_min(1)
    torchs = ((F.gelu(x) - want).abs() / scale).max()
    assert ((through_gelu(x) - want).abs() / scale).max() <= 1.5 * torchs


@pytest.mark.usefixtures("isa")
def test_gelu_of_what_is_no_number_shows() -> None:
    inf = float("inf")
    y = through_gelu(torch.tensor([inf, -inf, float("nan"), 1e30, -1e30]))
    assert y[0] == inf
    assert y[1].abs() < 1e-6
    assert y[2].isnan()
    assert y[3] == pytest.approx(1e30)
    assert y[4].abs() < 1e-6


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("rows", "inner", "columns"), SHAPES)
def test_the_gradient_of_a_layers_input_equals_its_definition(
    rows: int, inner: int, columns: int
) -> None:
    torch.manual_seed(rows)
    weight, dy = torch.randn(columns, inner), torch.randn(rows, columns)
    x = torch.randn(rows, inner)
    wanted = dy.double() @ weight.double()
    bound = 1e-6 * float(wanted.abs().max())
    got = gradient(dy, weight)
    assert got is not None
    assert (got - wanted).abs().max() <= bound
    through = x.double().requires_grad_()
    (wanted,) = torch.autograd.grad(F.gelu(through), through, wanted)
    got = gradient(dy, weight, x)
    assert got is not None
    assert (got - wanted).abs().max() <= bound


@pytest.mark.usefixtures("isa")
def test_the_slope_of_gelu_is_as_exact_as_torchs_everywhere() -> None:
    x = torch.linspace(-12, 12, 200_001)[:, None]
    got = gradient(torch.ones(len(x), 1), torch.ones(1, 1), x)
    ones = torch.ones_like(x)
    want = torch.ops.aten.gelu_backward(ones.double(), x.double())
    torchs = (torch.ops.aten.gelu_backward(ones, x) - want).abs().max()
    assert got is not None
    assert (got - want).abs().max() <= max(2 * torchs, 5e-7)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("rows", "inner", "columns"), [(8, 5, 1), (160, 24, 20), (387, 200, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_what_is_kept_of_a_layer_for_its_gradient_equals_its_definition(
    rows: int, inner: int, columns: int, bias: bool
) -> None:
    layer, x = a_layer(inner, columns, bias=bias), torch.randn(rows, inner)
    want = double(layer)(x.double()).detach()
    got = widen(x, layer.weight, layer.bias)
    assert got is not None
    for ours, exact in zip(got, (want, F.gelu(want)), strict=True):
        assert (ours - exact).abs().max() <= 1e-6 * want.abs().max()


def test_what_does_not_fit_together_is_not_read() -> None:
    """It would be read, or written, beyond its end."""
    layer, dy = a_layer(24, 4), torch.randn(64, 4)
    for features in (23, 25):
        assert widen(torch.randn(64, features), layer.weight, layer.bias) is None
        assert gradient(dy, layer.weight.detach(), torch.randn(64, features)) is None
        assert gradient(torch.randn(64, features), layer.weight.detach()) is None
    assert gradient(dy, layer.weight.detach(), torch.randn(63, 24)) is None


def test_few_rows_are_not_worth_packing_a_weight_for() -> None:
    layer = a_layer(24, 40)
    assert widen(torch.randn(8 * 40 - 1, 24), layer.weight, layer.bias) is None


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("inner", [40, 200])
def test_results_too_large_for_a_cache_are_those_of_a_few_rows(inner: int) -> None:
    """They are written past it, of up to two blocks of inner indices."""
    rows, columns, few = 8192, 256, 11
    layer, x = a_layer(inner, columns), torch.randn(rows, inner)
    weight, at = torch.randn(inner, columns), torch.randn(rows, columns)
    residual = torch.randn(rows, columns)
    whole = result(x, Links(layer, residual=residual))
    assert torch.equal(whole[:few], result(x[:few], Links(layer, residual=residual[:few])))
    slope, plain = gradient(x, weight, at), gradient(x, weight)
    for got, want in (
        (slope, gradient(x[:few], weight, at[:few])),
        (plain, gradient(x[:few], weight)),
    ):
        assert got is not None
        assert want is not None
        assert torch.equal(got[:few], want)
    kept, part = (
        widen(x, layer.weight, layer.bias),
        widen(x[: 8 * columns], layer.weight, layer.bias),
    )
    assert kept is not None
    assert part is not None
    for ours, again in zip(kept, part, strict=True):
        assert torch.equal(ours[: 8 * columns], again)
        assert ours.isfinite().all()


CONVOLUTIONS = [  # side, stride, padding
    (3, 2, 1),
    (4, 4, 0),
    (3, 1, 1),
    (5, 3, 2),
    (1, 1, 0),
]


def a_convolution(inner: int, columns: int, shape: tuple[int, int, int]) -> nn.Conv2d:
    torch.manual_seed(inner + columns)
    side, stride, padding = shape
    layer = nn.Conv2d(inner, columns, side, stride=stride, padding=padding)
    assert pack(layer.weight)
    return layer


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("size", [(7, 12), (8, 5), (33, 20), (5, 5)])
@pytest.mark.parametrize("shape", CONVOLUTIONS)
@pytest.mark.parametrize(("inner", "columns"), [(3, 24), (17, 50)])
def test_a_convolution_equals_its_definition(
    size: tuple[int, int], shape: tuple[int, int, int], inner: int, columns: int
) -> None:
    layer, norm = a_convolution(inner, columns, shape), a_norm(columns)
    x = torch.randn(3, *size, inner)
    with torch.inference_mode():
        got = convolve(layer, x)
        further = convolve(layer, x, norm, gelu=True)
        bias = None if layer.bias is None else layer.bias.double()
        weight, (_, stride, padding) = layer.weight.double(), shape
        want = F.conv2d(x.double().permute(0, 3, 1, 2), weight, bias, stride, padding)
        want = want.permute(0, 2, 3, 1)
        normed = F.gelu(double(norm)(want))
    assert got is not None
    assert further is not None
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(further.double(), normed, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("native")
def test_convolutions_of_another_kind_are_left_to_others() -> None:
    x = torch.randn(1, 8, 8, 4)
    kinds = [
        {"kernel_size": (3, 1)},
        {"kernel_size": 3, "stride": (1, 2)},
        {"kernel_size": 3, "padding": (1, 0)},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 9},  # more than there is to see
        {"kernel_size": 1, "padding": 2},  # patches of nothing but zeros
    ]
    for kind in kinds:
        layer = nn.Conv2d(4, 8, **kind)  # type: ignore[arg-type]
        assert pack(layer.weight)
        with torch.inference_mode():
            assert convolve(layer, x) is None
    layer = a_convolution(4, 8, (3, 1, 1))
    with torch.inference_mode():
        assert convolve(layer, x) is not None
        assert convolve(layer, x[..., :3].contiguous()) is None
        assert convolve(layer, x, nn.Identity()) is None
        assert convolve(layer, x.permute(0, 3, 1, 2)) is None
    assert convolve(layer, x) is None, "with gradients"


@pytest.mark.usefixtures("isa")
def test_a_weight_of_several_projections_is_one_product() -> None:
    weight, x = nn.Parameter(torch.randn(4, 11, 35)), torch.randn(2, 9, 35)
    with torch.inference_mode():
        assert project(x, weight) is None, "it is not packed"
    assert pack(weight)
    with torch.inference_mode():
        y = project(x, weight)
        want = x.double() @ weight.double().flatten(0, 1).t()
        assert project(x[..., :34].contiguous(), weight) is None
    assert y is not None
    torch.testing.assert_close(y.double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("isa")
def test_a_row_says_the_same_in_any_company() -> None:
    x, widen, narrow = torch.randn(1003, 300), a_layer(300, 130), a_layer(130, 300)
    norm = a_norm(300)
    together = result(x, Links(widen, narrow, norm, residual=x))
    for rows in (slice(0, 1), slice(3, 9), slice(500, 757), slice(990, 1003)):
        part = x[rows].contiguous()
        alone = result(part, Links(widen, narrow, norm, residual=part))
        assert torch.equal(alone, together[rows])


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("rows", [1, 60, 5000])
def test_threads_change_nothing(rows: int) -> None:
    x, widen, narrow = torch.randn(rows, 96), a_layer(96, 384), a_layer(384, 96)
    links = Links(widen, narrow, a_norm(96), residual=x)
    one = result(x, links)
    torch.set_num_threads(3)
    try:
        assert torch.equal(result(x, links), one)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(("rows", "inner", "columns"), SHAPES)
def test_nothing_beyond_the_result_is_written(
    rows: int, inner: int, columns: int, isa: str, native: library.NativeLibrary
) -> None:
    layer, x = a_layer(inner, columns), torch.randn(rows, inner)
    memory = torch.full(((rows + 2) * columns,), 7.0)
    y = memory[columns:-columns]
    packed = native.pack(layer.weight.detach(), isa)
    first = library.Layer(columns, packed.data_ptr(), layer.bias.data_ptr())
    native.chain(
        library.Chain(rows=rows, inner=inner, x=x.data_ptr(), first=first, y=y.data_ptr()), isa
    )
    want = F.linear(x, layer.weight, layer.bias).detach()
    torch.testing.assert_close(y.view(rows, columns), want, rtol=1e-4, atol=1e-5)
    assert bool((memory[:columns] == 7).all() and (memory[-columns:] == 7).all())


@pytest.mark.usefixtures("native")
def test_a_layer_can_be_used_twice_and_read_what_it_adds_to() -> None:
    x, layer = torch.randn(3, 5, 24), a_layer(24, 24)
    assert error(x, Links(layer, layer, residual=x)) < 1e-6
    assert result(x, Links(layer)).shape == (3, 5, 24)


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.usefixtures("native")
def test_what_the_library_cannot_read_is_left_to_others() -> None:
    layer, x = a_layer(24, 40), torch.randn(5, 24)
    refused = [
        (x, Links(nn.Linear(24, 40))),  # not packed
        (x, Links(Doubled(24, 40))),
        (x.double(), Links(layer)),
        (torch.randn(24, 5).t(), Links(layer)),
        (torch.randn(0, 24), Links(layer)),
        (torch.randn(5, 40), Links(layer)),
        (x, Links(layer, layer)),  # reads 24 numbers, not 40
        (x, Links(layer, nn.Identity())),
        (x, Links(layer, norm=nn.LayerNorm(24, bias=False))),
        (x, Links(layer, norm=nn.Identity())),
        (x, Links(layer, residual=torch.randn(40))),
        (x, Links(layer, residual=torch.randn(5, 40).double())),
        (x, Links(layer, residual=torch.randn(40, 5).t())),
    ]
    with torch.inference_mode():
        assert [run(*arguments) for arguments in refused] == [None] * len(refused)
        assert run(x, Links(layer)) is not None
        with torch.autocast("cpu", torch.bfloat16):
            assert run(x, Links(layer)) is None
    assert run(x, Links(layer)) is None, "with gradients"


@pytest.mark.usefixtures("native")
def test_a_weight_that_changed_is_not_read_from_its_copy() -> None:
    layer, x = a_layer(24, 40), torch.randn(5, 24)
    with torch.no_grad():
        layer.weight.mul_(2)
        assert run(x, Links(layer)) is None


@pytest.mark.usefixtures("native")
def test_what_others_made_the_default_type_and_device_is_no_matter() -> None:
    layer, x = a_layer(24, 40), torch.randn(5, 24)
    dy, weight = torch.randn(5, 40), layer.weight.detach()
    wide, fit = torch.get_default_dtype(), torch.bfloat16
    want, dx = result(x, Links(layer)), gradient(dy, weight)
    assert dx is not None
    torch.set_default_dtype(fit)
    try:
        with torch.device("meta"):
            assert pack(layer.weight)
            assert torch.equal(result(x, Links(layer)), want)
            again = gradient(dy, weight)
    finally:
        torch.set_default_dtype(wide)
    assert again is not None
    assert torch.equal(again, dx)


@pytest.mark.usefixtures("native")
def test_only_what_the_library_can_read_is_packed() -> None:
    assert not pack(torch.randn(3, 4).double())
    assert not pack(torch.empty(3, 4, device="meta"))
    with torch.inference_mode():
        assert not pack(torch.randn(3, 4))


@pytest.mark.usefixtures("native")
def test_with_threads_that_it_cannot_share_others_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = a_layer(24, 40), torch.randn(5, 24)
    monkeypatch.setattr(library, "_torch_parallel", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    with torch.inference_mode():
        assert run(x, Links(layer)) is None
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        assert run(x, Links(layer)) is not None


@pytest.mark.usefixtures("native")
def test_without_the_library_others_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = a_layer(24, 40), torch.randn(5, 24)
    monkeypatch.setattr(module, "usable_library", lambda: None)
    with torch.inference_mode():
        assert run(x, Links(layer)) is None
    assert not pack(layer.weight)
    assert module.chain_report() is None
