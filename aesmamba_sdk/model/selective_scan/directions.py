"""The four paths of the 2D selective scan over an image, and back."""

from __future__ import annotations

import torch
from torch import Tensor

DIRECTIONS = 4
ALL_DIRECTIONS = tuple(range(DIRECTIONS))


def cross_scan(
    x: Tensor, size: tuple[int, int], directions: tuple[int, ...] = ALL_DIRECTIONS
) -> Tensor:
    """Lay an image out along each direction.

    Args:
        x: (batch, height·width, channels), row-major.
        size: (height, width).
        directions: 0 rows, 1 columns, 2 rows reversed, 3 columns reversed.

    Returns:
        (batch, len(directions), channels, height·width).
    """
    rows = x.transpose(1, 2)  # (B, D, L)
    columns = rows.unflatten(2, size).transpose(2, 3).flatten(2)  # l = w·H + h
    paths = (rows, columns)
    return torch.stack([paths[k % 2].flip(2) if k >= 2 else paths[k % 2] for k in directions], 1)


def merge_directions(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum what the four directions say about each pixel.

    Args:
        y: (batch, 4, channels, height·width), as :func:`cross_scan` lays it out.
        size: (height, width).

    Returns:
        (batch, height·width, channels), row-major.
    """
    height, width = size
    rows = y[:, 0] + y[:, 2].flip(2)
    columns = y[:, 1] + y[:, 3].flip(2)
    columns = columns.unflatten(2, (width, height)).transpose(2, 3).flatten(2)
    merged: Tensor = (rows + columns).transpose(1, 2)
    return merged
