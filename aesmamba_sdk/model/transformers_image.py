"""Any image backbone of ``transformers`` in the place of VMamba: ResNet, ViT, Swin, ConvNeXt, ….

For comparisons such as the paper's Table 3, and for whoever has such weights. ``transformers`` is
imported only when one is built.
"""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import TransformersImageConfig

Colour = tuple[float, float, float]
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class TransformersImage(nn.Module):
    """(batch, 3, H, W) normalised images to f_v as one token, (batch, 1, 1, d).

    f_v is what the network itself pools where it does so without further weights, else the mean
    over its patches; a learned pooler that ImageNet weights lack is left out.

    Args:
        config: what to build; weights start random.
    """

    def __init__(self, config: TransformersImageConfig) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel

        self.config = config
        self.network = AutoModel.from_config(
            AutoConfig.for_model(config.model_type, **config.settings)
        )
        pooler = getattr(self.network, "pooler", None)
        if pooler is not None and next(pooler.parameters(), None) is not None:
            self.network.pooler = None
        known = inspect.signature(self.network.forward).parameters
        # Networks with one embedding a position would else refuse other sizes than their own.
        name = "interpolate_pos_encoding"
        self._options: dict[str, Any] = {name: True} if name in known else {}

    def forward(self, images: Tensor) -> Tensor:
        return _token(self.network(images, **self._options))

    def describe(self, images: Tensor) -> Tensor:
        """What is kept of photos, (batch, d): f_v."""
        f_v: Tensor = self(images).mean((1, 2))
        return f_v

    def maps(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """What :meth:`forward` gives, and the last map of each stride, (batch, h, w, channels)."""
        output = self.network(images, **self._options, output_hidden_states=True)
        by_stride = {}
        for layer in getattr(output, "reshaped_hidden_states", None) or output.hidden_states:
            x = _map(layer)
            by_stride[2 ** round(math.log2(images.shape[-1] / x.shape[2]))] = x
        return _token(output), by_stride


def describe(settings: Any) -> TransformersImageConfig:
    """The configuration of a ``transformers`` image network as ours keeps it.

    Args:
        settings: a ``transformers.PretrainedConfig``.

    Raises:
        CheckpointError: it does not say how wide its features are.
    """
    width = getattr(settings, "hidden_size", None)
    if width is None and getattr(settings, "hidden_sizes", None):
        width = settings.hidden_sizes[-1]
    if width is None or getattr(settings, "num_channels", None) != 3:
        raise CheckpointError(f"{settings.model_type} is no image network that gives RGB features")
    record = json.loads(settings.to_json_string(use_diff=True))
    for name in ("model_type", "transformers_version", "architectures", "id2label", "label2id"):
        record.pop(name, None)
    return TransformersImageConfig(settings.model_type, int(width), record)


def from_transformers(source: str, *, image_size: int) -> TransformersImage:
    """Build an image network by name, configuration or weights.

    Args:
        source: a kind such as ``resnet``, ``vit``, ``swin`` or ``convnext`` (its usual size,
            random weights); a ``config.json`` (random weights); a folder with weights; or a name
            on the hub that was downloaded before.
        image_size: of random networks that are made for one size.

    Raises:
        CheckpointError: there is no such network.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

    file = Path(source)
    try:
        if source in CONFIG_MAPPING:
            settings = AutoConfig.for_model(source)
            if hasattr(settings, "image_size"):
                settings.image_size = image_size
            return TransformersImage(describe(settings))
        if file.is_file():
            return TransformersImage(describe(AutoConfig.from_pretrained(file)))
        pretrained = AutoModel.from_pretrained(_folder(source), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"no image network {source!r} is here. Give a kind such as resnet, vit, swin or "
            "convnext, a folder with weights, a config.json, or the name of a download from the "
            f"hub. ({str(error).splitlines()[0]})",
            code="unknown_encoder",
        ) from error
    encoder = TransformersImage(describe(pretrained.config))
    own = encoder.network.state_dict()
    encoder.network.load_state_dict({k: v for k, v in pretrained.state_dict().items() if k in own})
    return encoder


def input_statistics(source: str) -> tuple[Colour, Colour]:
    """Mean and deviation of the pixels, 0-1, that a network was trained on; else ImageNet's.

    Args:
        source: as :func:`from_transformers` takes it, and of something that is there.
    """
    from transformers import CONFIG_MAPPING

    record: dict[str, Any] = {}
    if source not in CONFIG_MAPPING and not Path(source).is_file():
        file = _folder(source) / "preprocessor_config.json"
        record = json.loads(file.read_text()) if file.is_file() else {}
    mean, std = record.get("image_mean", _IMAGENET_MEAN), record.get("image_std", _IMAGENET_STD)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _folder(source: str) -> Path:
    """A folder, or that of an earlier download; asked by name, transformers would go online."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source, local_files_only=True))


def _token(output: Any) -> Tensor:
    """f_v of a network's output, (batch, 1, 1, d)."""
    pooled: Tensor | None = getattr(output, "pooler_output", None)
    if pooled is None:
        pooled = _map(output.last_hidden_state).mean((1, 2))
    return pooled.flatten(1)[:, None, None, :]


def _map(x: Tensor) -> Tensor:
    """(batch, c, h, w), or tokens (batch, n, c) of which the first may be no patches, to a map."""
    if x.ndim == 4:
        return x.permute(0, 2, 3, 1)
    side = math.isqrt(x.shape[1])
    patches = x[:, x.shape[1] - side * side :]
    return patches.reshape(len(x), side, side, -1)
