"""Linear layers in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LeastSquares:
    """Ridge regression of rows that come a batch at a time.

    Args:
        shrink: penalty of the weights, as a share of the inputs' mean square; the intercept has
            none.
    """

    def __init__(self, shrink: float = 1e-3) -> None:
        self.shrink = shrink
        self._gram: Tensor | None = None
        self._product: Tensor | None = None

    def add(self, x: Tensor, target: Tensor) -> None:
        """(rows, inputs) and (rows, outputs)."""
        x = torch.cat([x, x.new_ones(len(x), 1)], 1).float()
        # Sums of many batches need float64, which not every device has.
        gram, product = ((x.T @ y).cpu().double() for y in (x, target.float()))
        self._gram = gram if self._gram is None else self._gram + gram
        self._product = product if self._product is None else self._product + product

    @torch.no_grad()
    def write(self, layer: nn.Linear) -> None:
        """Let the layer say what fits all rows best.

        Raises:
            ValueError: there were none.
        """
        if self._gram is None or self._product is None:
            raise ValueError("nothing was added to fit the layer to")
        penalty = torch.full_like(
            self._gram[0], self.shrink * float(self._gram.diagonal()[:-1].mean())
        )
        penalty[-1] = 0
        solution = torch.linalg.solve(self._gram + penalty.diag(), self._product)
        layer.weight.copy_(solution[:-1].T)
        layer.bias.copy_(solution[-1])
