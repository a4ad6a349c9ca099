"""The shared model at scoring time: images to features, features to scores and percentiles.

Opening it reads a folder; torch is imported and the network built once a photo has to be encoded or
a text read. What was embedded before is scored by the heads alone, in numpy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.generic import Array, GenericHeads
from aesmamba_sdk.model.identity import backbone_hash, encoder_hash
from aesmamba_sdk.model.weights import read_arrays, read_config
from aesmamba_sdk.once import opened_once

if TYPE_CHECKING:
    import torch

    from aesmamba_sdk.model.aesmamba import AesMamba, ImageEncoder
    from aesmamba_sdk.model.config import Precision
    from aesmamba_sdk.model.network import Network, ReadText

REFERENCE_FILE = "reference.safetensors"
CONTENT_FILE = "content.safetensors"


class Backbone:
    """A model folder, opened for scoring and never changed.

    Args:
        folder: config.json, weights and, for percentiles, the features of reference photos.
        device: where the encoder runs, or a function that says so once this is asked.
        precision: in which the encoder multiplies.

    Raises:
        CheckpointError: the folder is incomplete, or the model has no heads to score with.

    Attributes:
        config: what the model is made of.
        id: name and fingerprint.
        hash: what personal models are tied to.
        encoder_hash: of the image encoder's weights alone.
        key: what cached features are stored under.
    """

    def __init__(
        self,
        folder: Path,
        device: torch.device | Callable[[], torch.device],
        precision: Precision = "float32",
    ) -> None:
        self.folder, self._device, self.precision = folder, device, precision
        self.config = read_config(folder)
        if not self.config.attributes:
            raise CheckpointError(
                f"model {self.config.name!r} is an image encoder without heads and cannot score: "
                "train heads on it first",
                code="no_heads",
            )
        self._weights = read_arrays(folder)
        self._heads = GenericHeads(self._weights, self.config)
        with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter to others
            of_all, of_encoder = (
                pool.submit(f, self._weights, self.config) for f in (backbone_hash, encoder_hash)
            )
        self.hash = of_all.result()
        self.encoder_hash = of_encoder.result()
        self.key = self.own_key(self.encoder_hash)
        self.id = f"{self.config.name}@{self.hash}"
        self._opening = threading.RLock()

    def own_key(self, encoder: str) -> str:
        """What features of an encoder are cached under, here: a precision does not mix with
        another."""
        return encoder if self.precision == "float32" else f"{encoder}-{self.precision}"

    @property
    def device(self) -> torch.device:
        """Where the encoder runs."""
        return self._device() if callable(self._device) else self._device

    @opened_once
    def network(self) -> Network:
        """The network itself, built on first use, of the weights that were read at opening."""
        from aesmamba_sdk.model.network import Network

        network = Network(self.folder, self.config, self._weights, self.device, self.precision)
        self._weights = {}  # the network has them now
        return network

    @property
    def model(self) -> AesMamba:
        """The network's modules, without the text encoder."""
        return self.network.model

    def __call__(self, images: Sequence[Image.Image], like: Image.Image | None = None) -> Array:
        """What is kept of RGB images, (len(images), described): f_v, then what tastes read as well.

        See :meth:`VMamba.describe`.

        Args:
            like: the photo that all of them show, altered.
        """
        return self.network.encode(images, like=like)

    def encode(
        self,
        images: Sequence[Image.Image],
        encoder: ImageEncoder,
        like: Image.Image | None = None,
    ) -> Array:
        """As a call, by a person's own encoder."""
        return self.network.encode(images, encoder, like)

    def values(self, features: Array, text: ReadText | None = None) -> Array:
        """The first column of :meth:`scores`, (n,), at the cost of one head."""
        return self._scores(features, text, self.config.attributes[:1])[:, 0]

    def scores(self, features: Array, text: ReadText | None = None) -> Array:
        """Generic scores, (n, attributes), clipped to the scale.

        Args:
            features: what is kept of photos, (n, described), or as much of it as the heads read.
            text: what :meth:`read` or :meth:`read_caption` gave, of all photos; ``None``: of the
                photos alone.
        """
        return self._scores(features, text, self.config.attributes)

    def _scores(self, features: Array, text: ReadText | None, attributes: Sequence[str]) -> Array:
        read = features[:, : self.config.head_inputs]
        if text is None:
            scores = self._heads(read, attributes)
        else:
            scores = self.network.scores(read, text, attributes)
        return scores.clip(self.config.scale.low, self.config.scale.high)

    @cached_property
    def reference(self) -> Array | None:
        """What is kept of photos that no weight was trained on; ``None`` without the file.

        Raises:
            CheckpointError: the file cannot be read, or holds something else.
        """
        file = self.folder / REFERENCE_FILE
        if not file.is_file():
            return None
        remedy = (
            f"write it again with `python -m aesmamba_sdk.train.reference --model {self.folder}`, "
            "or delete it and have no percentiles"
        )
        with _readable(file, remedy):
            features: Array = load_file(file)["features"].astype(np.float32)
        if not len(features) or features.shape[1:] != (self.config.encoder.described,):
            raise CheckpointError(
                f"{file} holds an array {features.shape}, and the model keeps "
                f"{self.config.encoder.described} numbers a photo; {remedy}"
            )
        return features

    @cached_property
    def content_axes(self) -> Array | None:
        """Directions, (described, p), in which what is kept of photos tells what is in them;
        ``None`` without the file.

        Raises:
            CheckpointError: the file cannot be read, or was learned with another encoder.
        """
        file = self.folder / CONTENT_FILE
        if not file.is_file():
            return None
        remedy = (
            f"learn it again with `python -m aesmamba_sdk.train.content --model {self.folder}`, "
            "or delete it and do without"
        )
        with _readable(file, remedy), safe_open(file, "numpy") as opened:
            encoder = (opened.metadata() or {})["encoder"]
            axes: Array = opened.get_tensor("axes").astype(np.float32)
        if encoder != self.encoder_hash:
            raise CheckpointError(f"{file} was learned with another encoder; {remedy}")
        return axes

    @cached_property
    def reference_values(self) -> Array | None:
        """Generic value of the reference photos, ascending."""
        return None if self.reference is None else np.sort(self.values(self.reference))

    def read(self, prompt: str) -> ReadText:
        """See :meth:`Network.read`."""
        return self.network.read(prompt)

    def read_caption(self, caption: str) -> ReadText:
        """See :meth:`Network.read_caption`."""
        return self.network.read_caption(caption)


@contextmanager
def _readable(file: Path, remedy: str) -> Iterator[None]:
    """What cannot be read of a file that a model may do without is told with the remedy."""
    try:
        yield
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}); {remedy}") from error


def save_reference(folder: Path, features: torch.Tensor) -> None:
    """Keep what a model's encoder describes of held-out photos beside it, in half precision."""
    file = folder / REFERENCE_FILE
    save_file({"features": features.half().contiguous().numpy()}, file)
    file.chmod(0o644)


def save_content(folder: Path, axes: NDArray[Any], encoder: str) -> None:
    """Keep the content axes of a model beside it, in half precision.

    Args:
        folder: of the model.
        axes: (described, p).
        encoder: hash of the encoder they were learned with.
    """
    file = folder / CONTENT_FILE
    save_file({"axes": np.ascontiguousarray(axes, np.float16)}, file, {"encoder": encoder})
    file.chmod(0o644)


def percentiles(values: Array, reference: Array) -> NDArray[np.float64]:
    """Share (0-1) of the ascending ``reference`` below each of ``values``, equals counted half."""
    below, upto = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (below + upto) / (2 * len(reference))
    return shares
