"""EMD and the totals of Eq. 8 against slow references and values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from aesmamba_sdk.train.losses import (
    SCORE_WEIGHTS,
    VOTE_WEIGHTS,
    masked_distribution_mse,
    masked_emd,
    total,
)

NAN = float("nan")


def slow_emd(predicted, target):
    distances = []
    for p, q in zip(predicted.tolist(), target.tolist(), strict=True):
        if any(map(math.isnan, q)):
            continue
        squares = [(sum(p[: k + 1]) - sum(q[: k + 1])) ** 2 for k in range(len(p))]
        distances.append(math.sqrt(sum(squares) / len(p)))
    return sum(distances) / max(1, len(distances))


def distributions(rows, bins):
    return torch.rand(rows, bins, dtype=torch.float64).softmax(-1)


@pytest.mark.parametrize("bins", [5, 7, 10])
def test_emd_is_its_definition(bins):
    torch.manual_seed(bins)
    predicted, target = distributions(6, bins), distributions(6, bins)
    target[2] = NAN
    assert masked_emd(predicted, target).item() == pytest.approx(slow_emd(predicted, target))


def test_emd_by_hand():
    predicted, target = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert masked_emd(predicted, target).item() == pytest.approx(math.sqrt(2 / 3))
    near = torch.tensor([[0.0, 1.0, 0.0]])
    assert masked_emd(near, target).item() == pytest.approx(math.sqrt(1 / 3))


def test_no_label_costs_nothing_and_spoils_no_gradient():
    predicted = distributions(3, 4)
    target = predicted.clone()
    target[1] = NAN
    predicted.requires_grad_()
    loss = masked_emd(predicted, target) + masked_distribution_mse(predicted, target)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))
    assert masked_emd(predicted, torch.full((3, 4), NAN)).item() == 0
    assert masked_distribution_mse(predicted, torch.full((3, 4), NAN)).item() == 0


def test_the_gradient_of_emd_is_right():
    torch.manual_seed(0)
    predicted, target = distributions(3, 5).requires_grad_(), distributions(3, 5)
    target[0, 2] = NAN
    assert torch.autograd.gradcheck(lambda p: masked_emd(p, target), predicted)


def test_totals_of_equation_8_by_hand():
    parts = {"mse": torch.tensor(1.5), "balanced_ce": torch.tensor(2.0)}
    assert total(parts, SCORE_WEIGHTS).item() == pytest.approx(1.5 + 0.002)
    parts["emd"] = torch.tensor(0.3)
    assert total(parts, VOTE_WEIGHTS).item() == pytest.approx(0.3 + 15 + 0.002)
