"""Linear layers in closed form, against torch's solver."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aesmamba_sdk.train.least_squares import LeastSquares


def test_a_layer_fits_rows_that_came_in_batches():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator)
    target = torch.randn(400, 3, generator=generator) + 7
    fit = LeastSquares(shrink=0.0)
    for rows in torch.arange(400).split(150):
        fit.add(x[rows], target[rows])
    layer = nn.Linear(5, 3)
    fit.write(layer)
    inputs = torch.cat([x, torch.ones(400, 1)], 1)
    expected = inputs @ torch.linalg.lstsq(inputs, target).solution
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-4)


def test_inputs_that_never_vary_are_no_obstacle():
    fit, layer = LeastSquares(), nn.Linear(2, 1)
    x = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    fit.add(x, x[:, 1:] + 5)
    fit.write(layer)
    torch.testing.assert_close(layer(x), x[:, 1:] + 5, rtol=0, atol=0.02)


def test_a_layer_is_not_fitted_to_nothing():
    with pytest.raises(ValueError, match="nothing was added"):
        LeastSquares().write(nn.Linear(2, 1))
