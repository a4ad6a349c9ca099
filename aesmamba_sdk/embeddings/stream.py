"""Photos in, features out, in order: from the cache, or decoded while the encoder works."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aesmamba_sdk.embeddings.cache import EmbeddingCache, Feature
from aesmamba_sdk.embeddings.reading import Read, path_of, read_photo
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import PhotoSource

_BATCH, _CACHED_BATCH = 16, 256


class ImageEncoder(Protocol):
    """What turns images into features, and the name its features are cached under."""

    @property
    def key(self) -> str: ...

    def __call__(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """RGB images of any size to their features, (len(images), d)."""


@dataclass(frozen=True)
class Embedded:
    """One photo's outcome.

    Attributes:
        source: as it was given.
        path: the file, when there is one.
        photo_id: identity of the pixels; ``None`` when there is an error.
        feature: f_v, (d,) float32; ``None`` when there is an error.
        error: why the photo cannot be used.
        fresh: whether the photo had to be decoded; else all was in the cache.
    """

    source: PhotoSource
    path: str | None
    photo_id: str | None = None
    feature: Feature | None = None
    error: PhotoError | None = None
    fresh: bool = False


@dataclass
class _Batch:
    """Some photos on their way; decoding runs while the batch before is encoded."""

    sources: list[PhotoSource]
    known: dict[int, str] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    decoding: dict[int, Future[Read]] = field(default_factory=dict)


def embed_photos(
    sources: Iterable[PhotoSource],
    encoder: ImageEncoder,
    cache: EmbeddingCache,
    *,
    threads: int | None = None,
) -> Iterator[Embedded]:
    """Features of photos, one outcome a source, in the order given; errors are outcomes too.

    Args:
        sources: paths, bytes, images or arrays; read lazily, some batches ahead at most.
        encoder: called only for photos whose features are not cached.
        cache: read and filled.
        threads: that decode; one per processor by default.
    """
    sources = iter(sources)
    pool = ThreadPoolExecutor(threads or os.cpu_count(), "decode")
    try:
        ahead = _start(list(islice(sources, _BATCH)), cache, encoder.key, pool.submit)
        while ahead.sources:
            batch = ahead
            # Few at a time while photos are decoded, whose images are held; else as many as pay.
            size = _BATCH if batch.decoding else _CACHED_BATCH
            ahead = _start(list(islice(sources, size)), cache, encoder.key, pool.submit)
            yield from _finish(batch, encoder, cache)
    finally:  # whoever stops early does not wait for photos that nobody will see
        pool.shutdown(cancel_futures=True)


def _start(
    sources: list[PhotoSource],
    cache: EmbeddingCache,
    key: str,
    submit: Callable[..., Future[Read]],
) -> _Batch:
    """Begin to decode what the cache does not know."""
    paths = [path for path in map(path_of, sources) if path is not None]
    ids = cache.photo_ids(paths) if paths else {}
    batch = _Batch(sources, features=cache.features(ids.values(), key) if ids else {})
    for i, source in enumerate(sources):
        path = path_of(source)
        if path is not None and ids.get(path) in batch.features:
            batch.known[i] = ids[path]
            continue
        batch.decoding[i] = submit(read_photo, source, cache, key)
    return batch


def _finish(batch: _Batch, encoder: ImageEncoder, cache: EmbeddingCache) -> Iterator[Embedded]:
    errors: dict[int, PhotoError] = {}
    reads: dict[int, Read] = {}
    for i, decoding in batch.decoding.items():
        try:
            reads[i] = decoding.result()
        except PhotoError as error:
            errors[i] = error
    read = {i: photo.photo_id for i, photo in reads.items()}
    ids = batch.known | read
    features = batch.features
    if read:  # the same photo may be known from another file, or from the batch before
        features = features | cache.features(read.values(), encoder.key)
    fresh = _encode_missing(reads.values(), features, encoder)
    seen = [photo.seen for photo in reads.values() if photo.seen is not None]
    if fresh or seen:
        cache.remember(encoder.key, fresh, seen)
    features |= fresh
    for i, source in enumerate(batch.sources):
        path = path_of(source)
        if i in errors:
            yield Embedded(source, path, error=errors[i], fresh=True)
        else:
            decoded = i in reads and reads[i].image is not None
            yield Embedded(source, path, ids[i], features[ids[i]], fresh=decoded)


def _encode_missing(
    photos: Iterable[Read], cached: dict[str, Feature], encoder: ImageEncoder
) -> dict[str, Feature]:
    missing = {
        p.photo_id: p.image for p in photos if p.photo_id not in cached and p.image is not None
    }
    if not missing:
        return {}
    return dict(zip(missing, encoder(list(missing.values())), strict=True))
