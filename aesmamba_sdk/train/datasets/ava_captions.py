"""AVA-Captions (Ghosal et al., ICCVW 2019): AVA's photos and votes with cleaned comments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets.ava import SCALE, ava_images, ava_samples
from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Sample
from aesmamba_sdk.train.datasets.votes import read_votes

CATEGORIES = Categories(7, low=2, rounded=True)
"""The mean rounded, 2 to 8."""
CAPTIONS = ("CLEAN_AVA_FULL_AFTER_SUBJECTIVE_CLEANING.json", "CLEAN_AVA_FULL_COMMENTS.json")
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def read_ava_captions(folder: Path, split: str = "train") -> Dataset:
    """Read AVA-Captions, as AesMamba's public code lays it out or as it was published.

    Args:
        folder: holds either ``train.csv`` and ``test.csv`` as for Photo.Net, with ten counts of
            votes; or the published ``CLEAN_AVA_FULL_AFTER_SUBJECTIVE_CLEANING.json`` beside
            ``AVA.txt``: ``images`` with a ``filename``, a ``split`` and ``sentences``, of which
            ``raw`` is read. The photos lie as for AVA.
        split: ``train`` or ``test``; of the published file also ``validation``.

    Raises:
        DatasetError: a file, column, value or photo is not as described.
    """
    table = folder / f"{split}.csv"
    published = next((folder / name for name in CAPTIONS if (folder / name).is_file()), None)
    if published is not None and not table.is_file():
        samples = tuple(_published(published, folder / "AVA.txt", split))
    else:
        samples = tuple(read_votes(table, SCALE))
    name = f"ava-captions-{split}"
    return Dataset(name, ("aesthetic",), (SCALE,), CATEGORIES, samples, ava_images(folder))


def _published(file: Path, votes: Path, split: str) -> Iterator[Sample]:
    if split not in _SPLITS:
        raise DatasetError(f"AVA-Captions has no split {split!r}; expected {', '.join(_SPLITS)}")
    texts = {
        Path(str(image["filename"])).stem: _raw(image, f"{file} image {number}")
        for number, image in enumerate(_images(file), 1)
        if image["split"] == _SPLITS[split]
    }
    for identity, sample in ava_samples(votes, texts).items():
        yield replace(sample, texts=texts[identity])


def _images(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read: {error}; expected JSON") from error
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DatasetError(f"{file} has no list of images; expected the published captions")
    for number, image in enumerate(images, 1):
        for key in ("filename", "split", "sentences"):
            if not isinstance(image, dict) or key not in image:
                raise DatasetError(
                    f"{file} image {number}: no {key}; expected filename, split and sentences",
                    code="dataset_columns",
                )
        yield image


def _raw(image: Mapping[str, Any], place: str) -> tuple[str, ...]:
    sentences = image["sentences"]
    if not isinstance(sentences, list) or not all(
        isinstance(s, dict) and isinstance(s.get("raw"), str) for s in sentences
    ):
        raise DatasetError(
            f"{place}: expected sentences, each with its raw text", code="dataset_value"
        )
    return tuple(sentence["raw"].strip() for sentence in sentences)
