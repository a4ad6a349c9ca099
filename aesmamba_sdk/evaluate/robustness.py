"""Monotonic common sense: what ruins a photo lowers its scores, what hardly changes it does not.

Strengths are such that a person would call the damage gross at full size, and relative to the
photo, so that bringing it to the model's small square does not hide it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate.data import Figures
from aesmamba_sdk.evaluate.report import Bar, Result, Table
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.photos import load_photo

BLUR = 0.02
"""Deviation of the blur over the shorter side."""
GRAIN, NOISE = 256, 50.0
"""Grains along the longer side, each as if a pixel; deviation of the noise of 0-255."""
STOPS = 3.0
"""Wrong exposure: eight times the light, or an eighth of it."""
JPEG_SIDE, JPEG_QUALITY = 256, 5
"""Longest side the photo is compressed at; 8x8 blocks of larger photos would vanish."""
CROP = 0.03
"""Of width and height, half on either side."""
LARGER = 4
"""Times the sides."""
LOWERED_BAR = 0.95
MOVED_BARS = {"flip": 0.15, "crop": 0.15, "larger copy": 0.1}

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Alteration:
    """Something done to a photo, with its strength in words."""

    name: str
    strength: str
    apply: Change


def blur(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Out of focus, or shaken: no detail is left."""
    return image.filter(ImageFilter.GaussianBlur(BLUR * min(image.size)))


def add_noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Coarse grain of independent colours."""
    scale = min(1.0, GRAIN / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    grain = rng.normal(0, NOISE, (height, width, 3))
    if scale < 1:
        rows = np.arange(image.height) * height // image.height
        columns = np.arange(image.width) * width // image.width
        grain = grain[rows][:, columns]
    return _image(np.asarray(image, dtype=np.float64) + grain)


def overexpose(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Highlights are lost in white."""
    return _expose(image, STOPS)


def underexpose(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Almost black."""
    return _expose(image, -STOPS)


def compress(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """A thumbnail saved far too small, shown at full size again."""
    small = image.copy()
    small.thumbnail((JPEG_SIDE, JPEG_SIDE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=JPEG_QUALITY)
    with Image.open(stream) as compressed:
        return compressed.convert("RGB").resize(image.size, Image.Resampling.BICUBIC)


def flip(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def crop(image: Image.Image, _: np.random.Generator) -> Image.Image:
    left, top = (round(side * CROP / 2) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def enlarge(image: Image.Image, _: np.random.Generator) -> Image.Image:
    size = (image.width * LARGER, image.height * LARGER)
    return image.resize(size, Image.Resampling.BICUBIC)


DAMAGES = (
    Alteration("strong blur", f"Gaussian, deviation {BLUR:.0%} of the shorter side", blur),
    Alteration(
        "heavy noise",
        f"normal, deviation {NOISE:g} of 255, grains of 1/{GRAIN} of the longer side",
        add_noise,
    ),
    Alteration("overexposure", f"{STOPS:g} stops in linear light, clipped", overexpose),
    Alteration("underexposure", f"{STOPS:g} stops in linear light", underexpose),
    Alteration(
        "severe compression",
        f"JPEG of quality {JPEG_QUALITY} at {JPEG_SIDE} px on the longer side",
        compress,
    ),
)
"""What lowers the scores of photos."""
TRIFLES = (
    Alteration("flip", "left to right", flip),
    Alteration("crop", f"{CROP:.0%} of width and height", crop),
    Alteration("larger copy", f"{LARGER} times the sides, bicubic", enlarge),
)
"""What does not move them."""


def robustness(backbone: Backbone, photos: Iterable[Image.Image], seed: int) -> Result:
    """Scores of photos as they are and altered.

    Args:
        backbone: its first attribute is the generic score; ``quality`` is measured where it is one.
        photos: upright RGB photos, as they are loaded.
        seed: of the noise.

    Raises:
        SetupError: there are no photos.
    """
    names = [backbone.config.attributes[0]]
    names += [name for name in backbone.config.attributes[1:] if name == "quality"]
    columns = [backbone.config.attributes.index(name) for name in names]
    scores = score_altered(backbone, photos, seed)[:, :, columns]
    changes = scores[:, 1:] - scores[:, :1]  # (photos, alterations, names)
    lowered = lowered_table(names, changes[:, : len(DAMAGES)])
    moved = moved_table(changes[:, len(DAMAGES) :, 0])
    result = Result("robustness", [lowered, moved], settings={"photos": len(scores)})
    for damage, shares in zip(DAMAGES, (changes < 0).mean(0), strict=False):
        for name, share in zip(names, shares, strict=True):
            result.bars.append(Bar(f"{damage.name} lowers {name}", float(share), LOWERED_BAR))
    for trifle, moves in zip(TRIFLES, changes[:, len(DAMAGES) :, 0].T, strict=True):
        largest = float(np.abs(moves).max())
        bar = MOVED_BARS[trifle.name]
        result.bars.append(Bar(f"{trifle.name}: largest move", largest, bar, "at most"))
    return result


def score_altered(backbone: Backbone, photos: Iterable[Image.Image], seed: int) -> Figures:
    """(photos, 1 + damages + trifles, attributes) scores, those of the photos as they are first.

    Raises:
        SetupError: there are no photos.
    """
    scores = []
    for number, photo in enumerate(photos):
        rng = np.random.default_rng((seed, number))
        altered = [alteration.apply(photo, rng) for alteration in (*DAMAGES, *TRIFLES)]
        scores.append(backbone.scores(backbone([photo, *(load_photo(x).image for x in altered)])))
    if not scores:
        raise SetupError("no photos to alter: name photos, or folders that hold some")
    return np.stack(scores).astype(np.float64)


def lowered_table(names: Sequence[str], changes: Figures) -> Table:
    """Share of photos whose scores fall, and the mean change.

    Args:
        changes: (photos, damages, names).
    """
    columns = [f"{name}: {what}" for name in names for what in ("lowered", "mean change")]
    table = Table("Gross damage lowers scores", ("damage", *columns), decimals=3)
    for i, damage in enumerate(DAMAGES):
        cells = [
            figure
            for moves in changes[:, i].T
            for figure in (float((moves < 0).mean()), float(moves.mean()))
        ]
        table.add(damage.name, *cells)
    table.notes += ["Lowered: share of the photos whose score falls.", _strengths(DAMAGES)]
    return table


def moved_table(changes: Figures) -> Table:
    """How far trifles move the generic score.

    Args:
        changes: (photos, trifles).
    """
    table = Table(
        "Trifles hardly move the generic score",
        ("change", "limit", "within it", "mean move", "95 % below", "largest"),
        decimals=3,
    )
    for trifle, moves in zip(TRIFLES, np.abs(changes).T, strict=True):
        limit = MOVED_BARS[trifle.name]
        within = float((moves < limit).mean())
        quantile = float(np.quantile(moves, 0.95))
        table.add(
            trifle.name,
            limit,
            within,
            float(moves.mean()),
            quantile,
            float(moves.max()),
        )
    table.notes += [
        "Within it: share of the photos whose score moves by less than the limit.",
        _strengths(TRIFLES),
    ]
    return table


def _strengths(alterations: Sequence[Alteration]) -> str:
    return "; ".join(f"{one.name}: {one.strength}" for one in alterations) + "."


def _expose(image: Image.Image, stops: float) -> Image.Image:
    """More or less light, as a camera would have taken it: in linear light, clipped at white."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear * 2**stops, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    table = (encoded * 255).round().astype(int).tolist()
    return image.point(table * len(image.getbands()))


def _image(pixels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
