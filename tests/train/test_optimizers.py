import copy

import pytest
import torch
from torch import nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.train.optimizers import Optimizers, decay_groups
from tests import toy


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AesMamba(toy.CONFIG)


def give_gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(drawn)  # in its order, as autograd does


def moved(optimizers: Optimizers, model: nn.Module) -> dict[str, torch.Tensor]:
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers.step()
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


def test_adamw_alone_is_torchs_adamw(model):
    other = copy.deepcopy(model)
    optimizers = Optimizers([model], "adamw", 1e-2, 0.1)
    plain = torch.optim.AdamW(decay_groups([other], 0.1), 1e-2, betas=(0.9, 0.99))
    for seed in range(3):
        for network, optimizer in ((model, optimizers), (other, plain)):
            give_gradients(network, seed)
            optimizer.step()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_muon_moves_a_blocks_matrix_equally_far_in_every_direction(model):
    # Of a single step of AdamW, the sign of a random gradient, the singular values differ widely.
    name = "encoder.stages.0.0.ss2d.in_proj.weight"
    spreads = {}
    for kind in ("adamw", "muon"):
        network = copy.deepcopy(model)
        give_gradients(network, 0)
        step = moved(Optimizers([network], kind, 1e-2, 0.0), network)[name]
        values = torch.linalg.svdvals(step)
        spreads[kind] = float(values.max() / values.min())
    assert spreads["muon"] < 3 < spreads["adamw"]


def test_muon_leaves_all_but_the_blocks_matrices_to_adamw(model):
    other = copy.deepcopy(model)
    steps = []
    for kind, network in (("adamw", model), ("muon", other)):
        give_gradients(network, 0)
        steps.append(moved(Optimizers([network], kind, 1e-2, 0.1), network))
    differing = {name for name in steps[0] if not torch.equal(steps[0][name], steps[1][name])}
    linear = {f"{n}.weight" for n, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    assert differing == {name for name in linear if ".stages." in name}


def test_muon_is_refused_where_there_is_nothing_that_it_moves(model):
    with pytest.raises(SetupError, match="train it with adamw"):
        Optimizers([model.heads], "muon", 1e-2, 0.1)


def test_norms_biases_a_and_d_do_not_decay(model):
    decayed, free = decay_groups([model], 0.1)
    assert all(p.ndim >= 2 for p in decayed["params"])
    scan = [p for n, p in model.named_parameters() if n.endswith(("A_log", ".D"))]
    assert {id(p) for p in scan} <= {id(p) for p in free["params"]}
    assert free["weight_decay"] == 0


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_state_goes_on_as_if_nothing_had_happened(model, kind):
    first = Optimizers([model], kind, 1e-2, 0.1)
    give_gradients(model, 0)
    first.step()
    other = copy.deepcopy(model)
    second = Optimizers([other], kind, 1e-2, 0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for network, optimizers in ((model, first), (other, second)):
        give_gradients(network, 1)
        optimizers.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_state_leaves_the_decay_as_it_is_now(model, kind):
    before, after = (Optimizers([model], kind, 1e-2, decay) for decay in (0.1, 0.3))
    give_gradients(model, 0)
    before.step()
    after.load_state_dict(before.state_dict())
    assert {group["weight_decay"] for group in after.param_groups} == {0.3, 0.0}


def test_a_state_of_other_optimizers_is_refused(model):
    state = Optimizers([model], "adamw", 1e-2, 0.1).state_dict()
    with pytest.raises(ValueError, match="parameter group"):
        Optimizers([model], "muon", 1e-2, 0.1).load_state_dict(state)
