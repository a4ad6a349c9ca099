"""The encoder's paths through inference, training and devices."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from aesmamba_sdk.model import vmamba
from aesmamba_sdk.model.config import ENCODERS, VMambaConfig
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


@CONFIGS
def test_trunk_and_last_stage_make_the_encoder(config):
    model, images = encoder(config), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        whole = model(images)
        torch.testing.assert_close(model.last_stage(model.trunk(images)), whole)
        torch.testing.assert_close(model.norm(model.stage_maps(images)[-1]), whole)


@CONFIGS
@pytest.mark.parametrize("grad", [True, False])
def test_the_encoder_depends_on_no_device(config, grad):
    """Every operator runs on ``meta``, so none asks for a CPU; mps takes the same path."""
    with torch.device("meta"), torch.set_grad_enabled(grad):
        assert VMamba(config)(torch.empty(2, 3, 32, 64)).shape == (2, 4, 8, 24)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x, branch = torch.randn(4000, 2, 3), torch.randn(4000, 2, 3)
    added = drop(branch, x) - x
    kept = added.flatten(1).abs().amax(1) > 0
    torch.testing.assert_close(added[kept], branch[kept] / 0.75, rtol=1e-4, atol=1e-5)
    assert 0.72 < kept.float().mean() < 0.78
    torch.testing.assert_close(drop.eval()(branch, x), x + branch)
