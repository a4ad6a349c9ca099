"""From an upright sRGB image to what the encoder sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.photos.limits import MAX_SIDE


def prepare(images: Sequence[Image.Image], config: AesMambaConfig) -> Tensor:
    """Squash RGB images to the model's square, bicubic and antialiased, and normalise them.

    The aspect ratio is not kept: the paper's protocol, and how the weights were trained.

    Returns:
        (len(images), 3, image_size, image_size) float32.
    """
    pixels = [np.asarray(squash(image, config.image_size)) for image in images]
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return normalize(batch, config)


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
