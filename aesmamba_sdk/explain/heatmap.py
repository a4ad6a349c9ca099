"""A photo with what raises its score in orange, what lowers it in blue, and a legend below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps

from aesmamba_sdk.explain.explanation import Explanation
from aesmamba_sdk.photos import PhotoSource, load_photo

# Told apart by people who cannot tell red from green.
_RAISES, _LOWERS = np.array([255.0, 120.0, 0.0]), np.array([20.0, 90.0, 255.0])
_STRONGEST = 0.75  # opacity of the colour where the effect is largest
_LIFT = 0.35  # towards white: on black, colours would not look like those of the legend
_LEAST_SIDE = 320  # of the picture: the legend needs the room
_STRIP, _BAR, _MARGIN, _FONT = 46, 14, 8, 14
_MADE_BY = "aesmamba explain"
FORMATS = ("PNG", "JPEG", "WEBP")
"""In which heat maps are saved."""


def heat_map(photo: PhotoSource, explanation: Explanation) -> Image.Image:
    """The upright photo at its bounded size, in grey, under the effects of its regions.

    Colours are relative to the largest effect, which the legend tells in points of the score.

    Args:
        photo: the one that was explained.

    Raises:
        PhotoError: the photo cannot be used.
    """
    image = load_photo(photo).image
    if max(image.size) < _LEAST_SIDE:
        scale = _LEAST_SIDE / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    effects = np.array(explanation.regions, np.float32)
    largest = float(np.abs(effects).max())
    shares = effects / largest if largest else effects
    smooth = Image.fromarray(shares).resize(image.size, Image.Resampling.BICUBIC)
    grey = np.asarray(ImageOps.grayscale(image).convert("RGB")) * (1 - _LIFT) + 255 * _LIFT
    canvas = (max(image.width, _LEAST_SIDE), image.height + _STRIP)
    picture = Image.new("RGB", canvas, "white")
    picture.paste(_coloured(grey, np.asarray(smooth)), ((canvas[0] - image.width) // 2, 0))
    _draw_legend(picture, image.height, largest)
    return picture


def save_heat_map(picture: Image.Image, file: Path) -> None:
    """Save in one of ``FORMATS``, by the name, and note in the EXIF what made it.

    Raises:
        OSError: the file cannot be written.
    """
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = _MADE_BY
    picture.save(file, exif=exif)


def is_heat_map(file: Path) -> bool:
    """Whether :func:`save_heat_map` wrote it: any other picture may be somebody's photo."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return bool(image.getexif().get(ExifTags.Base.Software) == _MADE_BY)
    except Exception:  # whatever a decoder raises on hostile bytes
        return False


def _coloured(under: NDArray[np.float64], shares: NDArray[np.float32]) -> Image.Image:
    """Colours for effects (h, w) from -1 to 1 laid on an image (h, w, 3)."""
    shares = shares.clip(-1, 1)[..., None]
    colour = np.where(shares > 0, _RAISES, _LOWERS)
    opacity = _STRONGEST * np.abs(shares)
    mixed = under * (1 - opacity) + colour * opacity
    return Image.fromarray(mixed.round().astype(np.uint8))


def _draw_legend(picture: Image.Image, top: int, largest: float) -> None:
    """A bar from lowers to raises at the foot, with the effects at its ends and in the middle."""
    width = picture.width - 2 * _MARGIN
    ramp = np.repeat(np.linspace(-1, 1, width, dtype=np.float32)[None], _BAR, axis=0)
    grey = np.full((_BAR, width, 3), 235.0)
    picture.paste(_coloured(grey, ramp), (_MARGIN, top + _MARGIN))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT)
    base = top + _MARGIN + _BAR + 3
    right, middle = picture.width - _MARGIN, picture.width / 2
    draw.text((_MARGIN, base), f"lowers -{largest:.3f}", "black", font, anchor="la")
    draw.text((middle, base), "0", "black", font, anchor="ma")
    draw.text((right, base), f"raises +{largest:.3f}", "black", font, anchor="ra")
