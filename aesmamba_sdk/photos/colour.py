"""Decoded pixels of any mode to bounded, upright RGB in sRGB."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageCms

from aesmamba_sdk.photos.limits import MAX_SIDE

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
MULTIPLIED_MODES = {"La": "LA", "RGBa": "RGBA"}
"""Modes whose colours are multiplied with alpha already, and the plain ones."""
_BAND = 2**17
"""Pixels of a deep image that are converted at a time."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """At eight bits, longest side at most ``side``, with the colours it had."""
    return _bounded(_resizable(image), side)


def finished(image: Image.Image, orientation: int, side: int = MAX_SIDE) -> Image.Image:
    """RGB in sRGB, upright, longest side at most ``side``; transparency is laid on white.

    Made smaller first: colours are then converted for few pixels.
    """
    image = _to_srgb(reduced(image, side))
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height once the image is turned."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def _resizable(image: Image.Image) -> Image.Image:
    """In a mode whose neighbouring pixels may be mixed, at eight bits."""
    if image.mode in DEEP_MODES:
        return _to_eight_bits(image)
    if image.mode in MULTIPLIED_MODES:
        return image.convert(MULTIPLIED_MODES[image.mode])
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L") if image.mode == "1" else image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep and floating-point images on 0-255, some rows at a time."""
    import numpy as np

    width, height = image.size
    rows = max(1, _BAND // width)

    def bands() -> Any:
        for top in range(0, height, rows):
            box = (0, top, width, min(top + rows, height))
            values = np.asarray(image.crop(box), dtype=np.float64)
            yield top, np.nan_to_num(values, posinf=0.0, neginf=0.0)

    factor = 1 / 257
    if image.mode == "F":  # floats come on 0-1 or on 0-255
        factor = 255.0 if max(values.max(initial=0) for _, values in bands()) <= 1 else 1.0
    grey = Image.new("L", image.size)
    if "icc_profile" in image.info:
        grey.info["icc_profile"] = image.info["icc_profile"]
    for top, values in bands():
        band = (values * factor).clip(0, 255).round().astype(np.uint8)
        grey.paste(Image.fromarray(band), (0, top))
    return grey


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "LA":
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L", "LAB"):
        image = _apply_profile(image.convert("RGB") if alpha else image, profile)
    image = image.convert("RGB")
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _apply_profile(image: Image.Image, profile: Any) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken or foreign profile says nothing; the pixels are taken as sRGB
    return image if converted is None else converted


def _bounded(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Costs a third of Lanczos, and the model sees photos much smaller still.
    return image.resize((width, height), Image.Resampling.HAMMING)
