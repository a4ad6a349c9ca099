"""The encoder's paths through inference, training and devices."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from aesmamba_sdk.model import vmamba
from aesmamba_sdk.model.config import ENCODERS, VMambaConfig
from aesmamba_sdk.model.linear import linear
from aesmamba_sdk.model.pack import pack
from aesmamba_sdk.model.vmamba import DropPath, VMamba

SMALL = VMambaConfig(depths=(1, 2), dims=(12, 24), mlp_ratio=2.0)
GATED = dataclasses.replace(ENCODERS["tiny-v0"], depths=(1, 1), dims=(12, 24))
CONFIGS = pytest.mark.parametrize("config", [SMALL, GATED], ids=["s1", "v0"])


def encoder(config: VMambaConfig) -> VMamba:
    torch.manual_seed(0)
    return VMamba(config).eval()


@CONFIGS
def test_photos_taken_a_few_at_a_time_come_out_the_same(config, monkeypatch):
    model, images = encoder(config), torch.randn(5, 3, 32, 48)
    with torch.inference_mode():
        together = model(images)
        monkeypatch.setattr(vmamba, "_WIDEST_MAP_BYTES", 1)
        torch.testing.assert_close(model(images), together)


@CONFIGS
def test_inference_says_what_training_would(config):
    model, images = encoder(config), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        fused = model(images)
    torch.testing.assert_close(model(images).detach(), fused)


@pytest.mark.usefixtures("isa", "every_instruction_set")
@CONFIGS
def test_packed_it_says_the_same_of_a_photo_in_any_company(config):
    model, images = encoder(config), torch.randn(5, 3, 40, 48)
    with torch.inference_mode():
        want = copy.deepcopy(model).double().describe(images.double())
    pack(model)
    with torch.inference_mode():
        together = model.describe(images)
        torch.testing.assert_close(together.double(), want, rtol=1e-4, atol=1e-5)
        for i in range(5):
            assert torch.equal(model.describe(images[i : i + 1])[0], together[i])


@pytest.mark.usefixtures("native")
def test_packed_it_follows_its_weights():
    model, images = encoder(SMALL), torch.randn(1, 3, 32, 32)
    pack(model)
    with torch.inference_mode():
        before = model(images)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    want = encoder(SMALL)
    want.load_state_dict(model.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(model(images), want(images))
        assert not torch.allclose(model(images), before)


def test_norms_may_be_of_another_type_than_products():
    block = encoder(SMALL).stages[0][0].ss2d.bfloat16()
    block.out_norm.float()
    with torch.inference_mode():
        assert block(torch.randn(1, 4, 4, 12).bfloat16()).dtype == torch.bfloat16


@CONFIGS
def test_trunk_and_last_stage_make_the_encoder(config):
    model, images = encoder(config), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        whole = model(images)
        torch.testing.assert_close(model.last_stage(model.trunk(images)), whole)
        torch.testing.assert_close(model.norm(model.stage_maps(images)[-1]), whole)


@CONFIGS
def test_what_is_kept_of_a_photo_is_f_v_and_how_its_channels_vary(config):
    model, images = encoder(config), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        described, trunk = model.describe(images), model.trunk(images)
        torch.testing.assert_close(described[:, :24], model(images).mean((1, 2)))
    rows = trunk.reshape(2, -1, 12)
    expected = (rows - rows.mean(1, keepdim=True)).square().mean(1).sqrt()
    torch.testing.assert_close(described[:, 24:], expected)
    assert described.shape[1] == config.described


def test_a_single_stage_keeps_f_v_alone():
    model = encoder(VMambaConfig(depths=(1,), dims=(12,)))
    assert model.describe(torch.randn(2, 3, 32, 32)).shape == (2, model.config.described) == (2, 12)


@CONFIGS
@pytest.mark.parametrize("grad", [True, False])
def test_the_encoder_depends_on_no_device(config, grad):
    """Every operator runs on ``meta``, so none asks for a CPU; mps takes the same path."""
    with torch.device("meta"), torch.set_grad_enabled(grad):
        assert VMamba(config)(torch.empty(2, 3, 32, 64)).shape == (2, 4, 8, 24)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, computed = DropPath(0.25), []
    x, double = torch.randn(4000, 2, 3), nn.Linear(3, 3, bias=False)
    nn.init.eye_(double.weight)
    double.weight.data.mul_(2)

    def branch(x: Tensor, residual: Tensor | None) -> Tensor:
        computed.append(len(x))
        return linear(double, x.square(), residual=residual)

    added = drop(x, branch) - x
    kept = added.flatten(1).abs().amax(1) > 0
    torch.testing.assert_close(added[kept], 2 * x[kept].square() / 0.75, rtol=1e-4, atol=1e-5)
    assert 0.72 < kept.float().mean() < 0.78
    assert computed == [int(kept.sum())], "nothing is computed for the samples that go without"
    torch.testing.assert_close(drop.eval()(x, branch), x + 2 * x.square())


@pytest.mark.parametrize("rate", [1e-9, 0.5, 1 - 1e-9])  # all, some and none keep the branch
def test_gradients_of_drop_path_are_those_of_a_mask(rate):
    torch.manual_seed(0)
    x, layer = torch.randn(6, 2, 3, requires_grad=True), nn.Linear(3, 3)
    torch.manual_seed(1)
    y = DropPath(rate)(x, lambda x, residual: linear(layer, x.sin(), residual=residual))
    torch.manual_seed(1)
    mask = (torch.rand(6) < 1 - rate).float().view(6, 1, 1) / (1 - rate)
    want = x + mask * layer(x.sin())
    torch.testing.assert_close(y, want)
    weights = torch.randn_like(y)
    wanted = (x, layer.weight, layer.bias)
    got = torch.autograd.grad((y * weights).sum(), wanted, materialize_grads=True)
    for a, b in zip(got, torch.autograd.grad((want * weights).sum(), wanted), strict=True):
        torch.testing.assert_close(a, b)
