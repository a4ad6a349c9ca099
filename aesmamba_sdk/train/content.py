"""Learns in which directions what a model keeps of photos tells what is in them.

    AESMAMBA_DATA=… python -m aesmamba_sdk.train.content --model pretrained/nano

People's tastes go by what is in a photo more than by how well it is made. Features of a network
that knows ImageNet's objects tell the former; what a model keeps of a photo tells part of them. The
directions in which that part varies most are those in which tastes compare photos.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from aesmamba_sdk.model.backbone import Backbone, save_content
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.train.judge import seen_both_ways
from aesmamba_sdk.train.least_squares import LeastSquares
from aesmamba_sdk.train.nano import imagenet, para
from aesmamba_sdk.train.views import describe, score_all

AXES = 128
_SHRINK = 0.003
"""Of the ridge regression; thirty times as much makes no difference."""
_EVERY = 2
"""Of PARA's training photos: 14,110 for 576 numbers."""


def content_axes(kept: Tensor, content: Tensor) -> Tensor:
    """Directions (d, p) of what is kept of photos that tell most of their content.

    Ridge regression, then the principal directions of what it predicts.

    Args:
        kept: (n, d) numbers a photo.
        content: (n, c) features of another network.
    """
    spread = kept.std(0) + 1e-3
    z = (kept - kept.mean(0)) / spread
    fit, layer = LeastSquares(_SHRINK), nn.Linear(z.shape[1], content.shape[1])
    fit.add(z, content)
    fit.write(layer)
    weights = layer.weight.detach().T
    _, _, directions = torch.linalg.svd(z @ weights, full_matrices=False)
    turned: Tensor = weights @ directions[:AXES].T
    return turned / spread[:, None] / (z @ turned).square().sum(1).mean().sqrt()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``content.safetensors`` into a model's folder."""
    parser = argparse.ArgumentParser(prog="aesmamba_sdk.train.content", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("pretrained/nano"))
    parser.add_argument("--cache", type=Path, help="folder of decoded photos to go on using")
    chosen = parser.parse_args(arguments)
    model = load_model(chosen.model, with_text=False)
    network = imagenet().eval()
    with tempfile.TemporaryDirectory() as folder:
        photos = para("train", chosen.cache or Path(folder))
        some = photos.subset(range(0, len(photos), _EVERY))
        size = model.config.image_size
        kept = describe(model, some, size)
        with torch.inference_mode():
            content = score_all(lambda x: seen_both_ways(network, x / 255), some, size)
    axes = content_axes(kept, content)
    encoder = Backbone(chosen.model, torch.device("cpu")).encoder_hash
    save_content(chosen.model, axes.numpy(), encoder)


if __name__ == "__main__":
    main()
