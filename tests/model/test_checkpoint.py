"""Public VMamba files against the reference implementation's recorded answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.checkpoint import load_public_vmamba, read_state_dict, vmamba_from_state
from aesmamba_sdk.model.selective_scan import engine_report, use_engine

PARITY = Path(__file__).parent / "parity"
LAYOUTS = ("gen0_d16", "gen1_s1", "gen2_s2")
ENGINES = [
    name
    for name, why in engine_report(torch.device("cpu")).items()
    if why in ("in use", "available")
]


def worst(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stages_logits_and_image_gradient_equal_the_reference(layout, engine):
    file = PARITY / f"{layout}.pth"
    answer = {k: torch.from_numpy(v) for k, v in np.load(PARITY / f"{layout}.npz").items()}
    head = {k.rsplit(".", 1)[1]: v for k, v in read_state_dict(file).items() if "head." in k}
    model = load_public_vmamba(file)
    image = answer["image"].requires_grad_()
    with use_engine(engine):
        maps = model.stage_maps(image)
        logits = model.norm(maps[-1]).mean((1, 2)) @ head["weight"].T + head["bias"]
        (gradient,) = torch.autograd.grad(logits.square().sum(), image)
    for i, stage in enumerate(maps):
        if i < len(model.downsamples):
            stage = model.downsamples[i](stage)
        if layout != "gen0_d16":
            stage = stage.permute(0, 3, 1, 2)
        assert worst(stage.detach(), answer[f"stage{i}"]) < 1e-4
    assert worst(logits.detach(), answer["logits"]) < 1e-4
    assert worst(gradient, answer["image_grad"]) < 1e-4


def test_a_key_too_many_or_too_few_is_named():
    state = read_state_dict(PARITY / "gen1_s1.pth")
    with pytest.raises(CheckpointError, match=r"layers\.0\.blocks\.0\.op\.extra"):
        vmamba_from_state(state | {"layers.0.blocks.0.op.extra": torch.zeros(1)})
    del state["layers.1.blocks.0.norm.weight"]
    with pytest.raises(CheckpointError, match=r"stages\.1\.0\.norm\.weight"):
        vmamba_from_state(state)


def test_a_misshapen_weight_is_named():
    state = read_state_dict(PARITY / "gen1_s1.pth")
    key = "layers.0.blocks.0.op.Ds"
    with pytest.raises(CheckpointError, match=r"op\.Ds is"):
        vmamba_from_state(state | {key: state[key][1:]})


def test_scans_with_one_decay_a_head_are_refused():
    state = read_state_dict(PARITY / "gen1_s1.pth")
    key = "layers.0.blocks.0.op.A_logs"
    with pytest.raises(CheckpointError, match=r"op\. has too few dimensions: only .* Mamba-1"):
        vmamba_from_state(state | {key: state[key][:, 0]})


def test_a_stage_without_a_number_is_an_unknown_key():
    state = read_state_dict(PARITY / "gen1_s1.pth")
    with pytest.raises(CheckpointError, match=r"unknown key layers\.last\.norm"):
        vmamba_from_state(state | {"layers.last.norm": torch.zeros(1)})


def test_foreign_files_are_refused_with_a_way_out(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_public_vmamba(tmp_path / "none.pth")
    (tmp_path / "table.csv").write_text("file,score")
    with pytest.raises(CheckpointError, match="not a torch file"):
        load_public_vmamba(tmp_path / "table.csv")
    torch.save({"model": {"fc.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not a VMamba state dict"):
        load_public_vmamba(tmp_path / "other.pth")
    torch.save({0: torch.zeros(2)}, tmp_path / "numbered.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_public_vmamba(tmp_path / "numbered.pth")
    torch.save({"model": {}, "config": Path("x")}, tmp_path / "wrapped.pth")
    with pytest.raises(CheckpointError, match="cut the weights out"):
        load_public_vmamba(tmp_path / "wrapped.pth")
