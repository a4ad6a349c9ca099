"""The shared model at scoring time: images to features, features to scores and percentiles."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError, SetupError
from aesmamba_sdk.model.captions import clean_caption
from aesmamba_sdk.model.folder import load_model, load_text_encoder
from aesmamba_sdk.model.identity import backbone_hash, encoder_hash, model_id
from aesmamba_sdk.model.linear import pack
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.model.text import TextEncoder, TextTokenizer

REFERENCE_FILE = "reference.safetensors"

Array = NDArray[np.float32]


class Backbone:
    """A model folder, loaded for scoring and never changed.

    Args:
        folder: config.json, weights and, for percentiles, the features of reference photos.
        device: where the encoder runs.

    Raises:
        CheckpointError: the folder is incomplete, or the model has no heads to score with.

    Attributes:
        model: the network, without its text encoder.
        id: name and fingerprint.
        hash: what personal models are tied to.
        key: what cached features are stored under.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.model = load_model(folder, with_text=False)
        self.config = self.model.config
        if not self.config.attributes:
            raise CheckpointError(
                f"model {self.config.name!r} is an image encoder without heads and cannot score: "
                "train heads on it first",
                code="no_heads",
            )
        self.id, self.hash = model_id(self.model), backbone_hash(self.model)
        self.key = encoder_hash(self.model.encoder, self.config)
        self.model.encoder.to(device)
        pack(self.model.encoder)
        self._encoding = threading.Lock()  # one batch at a time: more would only thrash the cores

    def __call__(self, images: Sequence[Image.Image]) -> Array:
        """f_v of RGB images, (len(images), d)."""
        return self.encode(images, self.model.encoder)

    def encode(self, images: Sequence[Image.Image], encoder: nn.Module) -> Array:
        """f_v of RGB images by this or a person's own encoder, (len(images), d)."""
        pixels = prepare(images, self.config).to(self.device)
        with self._encoding, torch.inference_mode():
            return to_array(encoder(pixels).mean((1, 2)))

    @torch.inference_mode()
    def values(self, features: Array, text: tuple[Tensor, Tensor] | None = None) -> Array:
        """The first column of :meth:`scores`, (n,), at the cost of one head."""
        return self._scores(features, text, self.config.attributes[:1])[:, 0]

    @torch.inference_mode()
    def scores(self, features: Array, text: tuple[Tensor, Tensor] | None = None) -> Array:
        """Generic scores, (n, attributes), clipped to the scale.

        Args:
            features: f_v, (n, d).
            text: what :meth:`read` or :meth:`read_caption` gave, of all photos; ``None``: of the
                photos alone.
        """
        return self._scores(features, text, self.config.attributes)

    def _scores(
        self, features: Array, text: tuple[Tensor, Tensor] | None, attributes: Sequence[str]
    ) -> Array:
        f = self.model.integrate(torch.from_numpy(features), *(text or (None, None)))
        scale = self.config.scale
        return to_array(self.model.heads.scores(f, attributes).clamp(scale.low, scale.high))

    @cached_property
    def reference(self) -> Array | None:
        """f_v of photos that no weight was trained on, (photos, d); ``None`` without the file."""
        file = self.folder / REFERENCE_FILE
        return to_array(load_file(file)["features"]) if file.is_file() else None

    @cached_property
    def reference_values(self) -> Array | None:
        """Generic value of the reference photos, ascending."""
        return None if self.reference is None else np.sort(self.values(self.reference))

    def read(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Token features (1, tokens, d) of a prompt and their mask; loads BERT for the moment.

        Raises:
            CheckpointError: the model reads captions, or nothing.
        """
        if self.config.reads != "prompt":
            raise CheckpointError(
                f"model {self.config.name!r} reads captions of photos, not who is asking: choose "
                "a model that was trained on people",
                code="no_prompts",
            )
        return _read(prompt, *load_text_encoder(self.folder))

    def read_caption(self, caption: str) -> tuple[Tensor, Tensor]:
        """Token features (1, tokens, d) of a caption, cleaned as in training, and their mask.

        Raises:
            CheckpointError: the model was not trained on captions.
        """
        if self.config.text is None or self.config.reads != "caption":
            raise CheckpointError(
                f"model {self.config.name!r} was not trained on captions and cannot use a text: "
                "leave it out, or choose a model that `aesmamba train miaa` made",
                code="no_captions",
            )
        return _read(clean_caption(caption), *self._caption_reader)

    @cached_property
    def _caption_reader(self) -> tuple[TextEncoder, TextTokenizer]:
        """Kept, unlike that of prompts: every photo has a caption of its own."""
        return load_text_encoder(self.folder)


def _read(text: str, encoder: TextEncoder, tokenizer: TextTokenizer) -> tuple[Tensor, Tensor]:
    ids, mask = tokenizer.encode([text], encoder.config.max_position_embeddings)
    with torch.inference_mode():
        return encoder(ids, mask).clone(), mask


def save_reference(folder: Path, features: Tensor) -> None:
    """Keep the features of held-out photos beside a model, in half precision."""
    file = folder / REFERENCE_FILE
    save_file({"features": features.half().contiguous()}, file)
    file.chmod(0o644)


def percentiles(values: Array, reference: Array) -> NDArray[np.float64]:
    """Share (0-1) of the ascending ``reference`` below each of ``values``, equals counted half."""
    below, upto = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (below + upto) / (2 * len(reference))
    return shares


def choose_device(name: str = "auto") -> torch.device:
    """A device by name; ``auto``: CUDA, else Apple's GPU, else the processor.

    Raises:
        SetupError: the device is unknown or not there.
    """
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        name = "cuda" if cuda else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        if "Expected one of" in reason:  # torch lists every device it has ever heard of
            reason = "there is no such device"
        raise SetupError(
            f"device {name!r} cannot be used: {reason}. Use auto, cpu, cuda or mps.",
            code="no_device",
        ) from error
    return device


def to_array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().float().cpu().numpy()
    return array
