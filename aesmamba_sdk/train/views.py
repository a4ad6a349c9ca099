"""What the networks see of the photos: crops in training, whole photos when they are scored."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.preprocess import as_scored
from aesmamba_sdk.train.data import PhotoSet

_CROP = 0.875  # the paper's: resize to 256, crop 224
_LOST = 0.9  # of what a photo is above the worst, when it is ruined altogether
_WORST = 1.0
_GAMMA = 2.2
_MILDEST = 0.3  # of the severity at which a photo is ruined altogether


@dataclass(frozen=True)
class Views:
    """A batch as the network is shown it.

    Attributes:
        images: (batch, 3, H, W), 0-255.
        scores: (batch, attributes), NaN where nothing is known.
        ruined: (batch,), whose scores are lowered; a teacher who saw no such photos knows less.
        clear: the images before they were softened, for a teacher to see.
    """

    images: Tensor
    scores: Tensor
    ruined: Tensor
    clear: Tensor


def augment(pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Random crops of 7/8 of the side, brought to size x size, mirrored half of the time.

    Args:
        pixels: (batch, 3, side, side) bytes.

    Returns:
        (batch, 3, size, size) float32, 0-255.
    """
    batch, _, side, _ = pixels.shape
    crop = round(side * _CROP)
    corners = torch.randint(0, side - crop + 1, (batch, 2), generator=generator).tolist()
    flips = (torch.rand(batch, generator=generator) < 0.5).tolist()
    cut = [p[:, y : y + crop, x : x + crop] for p, (y, x) in zip(pixels, corners, strict=True)]
    cut = [p.flip(2) if flip else p for p, flip in zip(cut, flips, strict=True)]
    return resize(torch.stack(cut), size)


def resize(pixels: Tensor, size: int) -> Tensor:
    """Bicubic, antialiased, clamped to 0-255, as the photos are at scoring time."""
    x = F.interpolate(pixels.float(), (size, size), mode="bicubic", antialias=True)
    return x.clamp_(0, 255)


def ruin(images: Tensor, scores: Tensor, share: float, generator: torch.Generator) -> Views:
    """Blur, drown in noise, expose wrongly or compress a share of the photos, and lower its scores.

    People rated no such photos in PARA; without these a network may take noise for detail.

    Args:
        images: (batch, 3, H, W), 0-255; not changed.
        scores: (batch, attributes), NaN where there is none.
        share: probability that a photo is ruined.

    Returns:
        The photos, and scores of which the worse a photo is ruined, the less is left above 1.
    """
    chosen = torch.rand(len(images), generator=generator) < share
    draws = torch.rand(len(images), 3, generator=generator).tolist()
    images, scores = images.clone(), scores.clone()
    for i in chosen.nonzero().flatten().tolist():
        kind, severity, sign = draws[i]
        severity = _MILDEST + (1 - _MILDEST) * severity
        ways = (_blur, _noise, _expose, _compress)
        images[i] = ways[int(kind * len(ways))](images[i], severity, sign < 0.5, generator)
        # Half of the severity takes most of it: what was worst before has to fall, too.
        scores[i] = _WORST + (scores[i] - _WORST) * (1 - _LOST * severity**0.5)
    return Views(images, scores, chosen.to(images.device), images)


def blend(pixels: Tensor, views: Views, share: float, generator: torch.Generator) -> Views:
    """Put hard crops of two photos, laid over one another, in the place of a share of the photos.

    No label holds for them, but a teacher can be asked: a student that has to agree with it on
    pictures that never come again cannot learn the photos by heart.

    Args:
        pixels: (batch, 3, side, side) bytes.
        views: of the same photos; not changed.
        share: probability that a photo is replaced.

    Returns:
        The views, with NaN for the scores of blended ones.
    """
    batch, size = len(views.images), views.images.shape[-1]
    chosen = torch.rand(batch, generator=generator) < share
    others = torch.randint(batch, (batch,), generator=generator).tolist()
    weights = torch.rand(batch, generator=generator).tolist()
    images, scores = views.images.clone(), views.scores.clone()
    for i in chosen.nonzero().flatten().tolist():
        over, under = (_hard_crop(pixels[j], size, generator) for j in (i, others[i]))
        images[i] = under.lerp_(over, weights[i])
        scores[i] = float("nan")
    return Views(images, scores, views.ruined & ~chosen.to(images.device), images)


def mirror(views: Views, pairs: int) -> Views:
    """Put mirror images of the first photos in the place of the last.

    What a photo is worth does not change in a mirror, even where nobody knows what it is worth.
    """

    def doubled(x: Tensor, flip: bool = False) -> Tensor:
        return torch.cat([x[:-pairs], x[:pairs].flip(3) if flip else x[:pairs]])

    return Views(
        images=doubled(views.images, flip=True),
        scores=doubled(views.scores),
        ruined=doubled(views.ruined),
        clear=doubled(views.clear, flip=True),
    )


def soften(views: Views, most: float, generator: torch.Generator) -> Views:
    """Move each image towards a blur of three by three pixels, by up to ``most`` of the way.

    A copy that was enlarged or kept small arrives a little softer than its original, and is worth
    as much; a teacher that sees what is clear says so.
    """
    if not most:
        return views
    images = views.images
    shares = most * torch.rand(len(images), generator=generator).view(-1, 1, 1, 1)
    blurred = images
    for dim, rim in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        padded = F.pad(blurred, rim, mode="replicate")
        around = padded.narrow(dim, 0, images.shape[dim]) + padded.narrow(dim, 2, images.shape[dim])
        blurred = blurred.lerp(around / 2, 0.5)  # a convolution takes up to five times as long
    return replace(views, images=images.lerp(blurred, shares.to(images)), clear=images)


def _hard_crop(photo: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A fifth of the photo to all of it, squeezed by up to 4/3, mirrored half of the time."""
    side = photo.shape[-1]
    area, squeeze, x, y, mirror = torch.rand(5, generator=generator).tolist()
    area, ratio = 0.2 + 0.8 * area, (4 / 3) ** (2 * squeeze - 1)
    width = min(side, round(side * (area * ratio) ** 0.5))
    height = min(side, round(side * (area / ratio) ** 0.5))
    left, top = int(x * (side - width + 1)), int(y * (side - height + 1))
    crop = resize(photo[None, :, top : top + height, left : left + width], size)[0]
    return crop.flip(2) if mirror < 0.5 else crop


def _blur(image: Tensor, severity: float, _: bool, generator: torch.Generator) -> Tensor:
    side = image.shape[-1]
    small = resize(image[None], max(4, round(side / (2 + 6 * severity))))
    return F.interpolate(small, (side, side), mode="bicubic")[0].clamp(0, 255)


def _noise(image: Tensor, severity: float, grey: bool, generator: torch.Generator) -> Tensor:
    shape = (1 if grey else 3, *image.shape[1:])
    noise = torch.randn(shape, generator=generator).to(image.device)
    return (image + 70 * severity * noise).clamp(0, 255)


def _expose(image: Tensor, severity: float, under: bool, generator: torch.Generator) -> Tensor:
    """One and a half to five stops, in linear light as a camera would err."""
    gain = 2 ** (5 * severity)
    linear = (image / 255) ** _GAMMA * (1 / gain if under else gain)
    return 255 * linear.clamp_(0, 1) ** (1 / _GAMMA)


def _compress(image: Tensor, severity: float, _: bool, generator: torch.Generator) -> Tensor:
    stream = io.BytesIO()
    pixels = image.round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    Image.fromarray(pixels).save(stream, "JPEG", quality=round(16 - 15 * severity))
    with Image.open(stream) as compressed:
        return torch.from_numpy(np.array(compressed)).permute(2, 0, 1).float().to(image.device)


def score_all(
    score: Callable[[Tensor], Tensor],
    photos: PhotoSet,
    size: int,
    *,
    batch_size: int = 64,
    device: torch.device | None = None,
) -> Tensor:
    """``score`` of every photo at size x size, on the CPU; it is given float32 pixels, 0-255."""
    parts = []
    for rows in _batches(len(photos), batch_size):
        pixels, _ = photos.batch(rows)
        parts.append(score(resize(pixels.to(device), size)).float().cpu())
    return torch.cat(parts)


def embed(model: AesMamba, photos: PhotoSet, size: int) -> Tensor:
    """What the heads read of every example's photo at size x size; each photo is seen once."""
    return _see(model, model.embed, photos, size)


def describe(model: AesMamba, photos: PhotoSet, size: int) -> Tensor:
    """As :func:`embed`, all that is kept of a photo, (examples, described)."""
    return _see(model, model.encoder.describe, photos, size)


@torch.inference_mode()
def _see(model: AesMamba, look: Callable[[Tensor], Tensor], photos: PhotoSet, size: int) -> Tensor:
    model.eval()
    once, index = photos.once()

    def see(pixels: Tensor) -> Tensor:
        return look(as_scored(pixels, model.config))

    return score_all(see, once, size, device=_device(model))[index]


@torch.inference_mode()
def predict(model: AesMamba, photos: PhotoSet, size: int, *, alone: bool = False) -> Tensor:
    """Scores of every example, (examples, attributes), on the CPU.

    Args:
        alone: leave the texts out, where there are any.
    """
    features = embed(model, photos, size)
    texts = None if alone else photos.texts
    parts = []
    for rows in _batches(len(photos), 64):
        f = features[rows].to(_device(model))
        if texts is not None:
            f = model.integrate(f, *read(model, [texts[i] for i in rows]))
        parts.append(model.heads(f).scores.cpu())
    return torch.cat(parts)


def read(model: AesMamba, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token features (texts, tokens, d) and their mask (texts, tokens); equal texts once."""
    assert model.tokenizer is not None
    assert model.config.text is not None
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    ids, mask = model.tokenizer.encode(list(distinct), model.config.text.max_position_embeddings)
    ids, mask = ids.to(_device(model)), mask.to(_device(model))
    index = torch.tensor([distinct[text] for text in texts], device=mask.device)
    return model.read(ids, mask)[index], mask[index]


def _device(model: AesMamba) -> torch.device:
    return next(model.parameters()).device


def _batches(total: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, total, size):
        yield np.arange(start, min(start + size, total))
