"""The torch half of the shared model at scoring time: images to features, and all that reads text.

Opened by :class:`~aesmamba_sdk.model.backbone.Backbone` once a photo has to be encoded.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from aesmamba_sdk.errors import CheckpointError, SetupError
from aesmamba_sdk.model.aesmamba import AesMamba, ImageEncoder
from aesmamba_sdk.model.captions import clean_caption
from aesmamba_sdk.model.config import AesMambaConfig, Precision
from aesmamba_sdk.model.folder import load_strictly, load_text_encoder
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.model.pack import pack
from aesmamba_sdk.model.precision import warn_if_slow
from aesmamba_sdk.model.preprocess import prepare
from aesmamba_sdk.model.text import TextEncoder, TextTokenizer
from aesmamba_sdk.model.weights import Weights

ReadText = tuple[Tensor, Tensor]
"""Token features (1, tokens, d) of a text, and their mask."""


class Network:
    """A model folder as a network in memory, never changed.

    Args:
        folder: of the model, where its text encoder is read when there is a text.
        config: what to build.
        weights: of all but the text encoder.
        device: where the encoder runs.
        precision: in which it multiplies.

    Raises:
        CheckpointError: a weight is missing, unexpected or misshapen.

    Attributes:
        model: without its text encoder.
    """

    def __init__(
        self,
        folder: Path,
        config: AesMambaConfig,
        weights: Weights,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.folder, self.device, self.precision = folder, device, precision
        warn_if_slow(precision, device)
        self.model = AesMamba(config, with_text=False).eval()
        state = {name: torch.from_numpy(value) for name, value in weights.items()}
        load_strictly(self.model, state, str(folder))
        self.model.encoder.to(device)
        if precision == "float32":
            pack(self.model.encoder)
        # One batch at a time, unless it keeps to its thread: more would only thrash the cores.
        self._encoding = threading.Lock()

    @property
    def config(self) -> AesMambaConfig:
        return self.model.config

    def encode(
        self,
        images: Sequence[Image.Image],
        encoder: ImageEncoder | None = None,
        like: Image.Image | None = None,
    ) -> Array:
        """What this or a person's own encoder keeps of RGB images, (len(images), described).

        Args:
            like: the photo that all of them show, altered.
        """
        pixels = prepare(images, self.config, like).to(self.device)
        alone = self.device.type == "cpu" and torch.get_num_threads() == 1
        with (
            nullcontext() if alone else self._encoding,
            torch.inference_mode(),
            self._multiplying(),
        ):
            return to_array((encoder or self.model.encoder).describe(pixels))

    def _multiplying(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @torch.inference_mode()
    def scores(self, features: Array, text: ReadText, attributes: Sequence[str]) -> Array:
        """Scores (n, len(attributes)) of what the heads read of photos, with a text, not clipped.

        Args:
            features: f_v and deviations where the heads read them, (n, ``config.head_inputs``).
        """
        f = self.model.integrate(torch.from_numpy(features), *text)
        return to_array(self.model.heads.scores(f, attributes))

    def read(self, prompt: str) -> ReadText:
        """A person's prompt; loads BERT for the moment.

        Raises:
            CheckpointError: the model reads captions, or nothing.
        """
        return _read(*self.reader(prompt))

    def reader(self, prompt: str) -> tuple[TextEncoder, Tensor, Tensor]:
        """A text encoder of its own, and ids and mask (1, tokens) of a person's prompt.

        Raises:
            CheckpointError: the model reads captions, or nothing.
        """
        if self.config.reads != "prompt":
            raise CheckpointError(
                f"model {self.config.name!r} reads captions of photos, not who is asking: choose "
                "a model that was trained on people",
                code="no_prompts",
            )
        return _prepared(prompt, *load_text_encoder(self.folder))

    def read_caption(self, caption: str) -> ReadText:
        """A caption, cleaned as in training.

        Raises:
            CheckpointError: the model was not trained on captions.
        """
        if self.config.text is None or self.config.reads != "caption":
            raise CheckpointError(
                f"model {self.config.name!r} was not trained on captions and cannot use a text: "
                "leave it out, or choose a model that `aesmamba train miaa` made",
                code="no_captions",
            )
        return _read(*_prepared(clean_caption(caption), *self._caption_reader))

    @cached_property
    def _caption_reader(self) -> tuple[TextEncoder, TextTokenizer]:
        """Kept, unlike that of prompts: every photo has a caption of its own."""
        return load_text_encoder(self.folder)


def _prepared(
    text: str, encoder: TextEncoder, tokenizer: TextTokenizer
) -> tuple[TextEncoder, Tensor, Tensor]:
    return encoder, *tokenizer.encode([text], encoder.config.max_position_embeddings)


def _read(encoder: TextEncoder, ids: Tensor, mask: Tensor) -> ReadText:
    with torch.inference_mode():
        return encoder(ids, mask).clone(), mask


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
