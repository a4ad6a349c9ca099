"""From an upright sRGB image to what the encoder sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.photos.limits import MAX_SIDE


def prepare(
    images: Sequence[Image.Image], config: AesMambaConfig, like: Image.Image | None = None
) -> Tensor:
    """Squash RGB images to the model's square, bicubic and antialiased, and normalise them.

    The aspect ratio is not kept: the paper's protocol, and how the weights were trained.

    Args:
        like: the photo that all of them show, altered: they are mirrored where it is.

    Returns:
        (len(images), 3, image_size, image_size) float32.
    """
    batch = _squares(images, config.image_size)
    return as_scored(batch, config, None if like is None else _squares([like], config.image_size))


def as_scored(pixels: Tensor, config: AesMambaConfig, like: Tensor | None = None) -> Tensor:
    """What the encoder is given of squares, (batch, 3, H, W) bytes or float32 0-255.

    Args:
        like: squares that say which are mirrored, if not these do, (batch or 1, 3, H, W).
    """
    if config.brighter_left:
        turned = _brighter_right(pixels if like is None else like).view(-1, 1, 1, 1)
        pixels = torch.where(turned, pixels.flip(3), pixels)
    return normalize(pixels, config)


def _brighter_right(pixels: Tensor) -> Tensor:
    """(batch,), in whole numbers: halves that are as bright as each other are so in the mirror."""
    columns = pixels.sum((1, 2), dtype=torch.int32)
    half = columns.shape[1] // 2
    return columns[:, :half].sum(1) < columns[:, -half:].sum(1)


def _squares(images: Sequence[Image.Image], side: int) -> Tensor:
    pixels = np.stack([np.asarray(squash(image, side)) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def squash(image: Image.Image, side: int) -> Image.Image:
    """To side x side, bicubic and antialiased.

    A photo smaller than what large ones are loaded at is enlarged to that first: it then has
    their sharpness, and is worth what an enlarged copy of it is.
    """
    longest = max(image.size)
    if longest < MAX_SIDE:
        width, height = (max(1, round(n * MAX_SIDE / longest)) for n in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image.resize((side, side), Image.Resampling.BICUBIC)


def normalize(pixels: Tensor, config: AesMambaConfig) -> Tensor:
    """(batch, 3, H, W) bytes 0-255 to float32 with the model's mean and deviation removed."""
    mean, std = (
        torch.tensor(v, device=pixels.device).view(3, 1, 1) * 255 for v in (config.mean, config.std)
    )
    return (pixels.float() - mean) / std
