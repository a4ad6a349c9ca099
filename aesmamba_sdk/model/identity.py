"""Fingerprints of models: what an embedding or a personal model belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from torch import nn

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import AesMambaConfig

_DIGEST_BYTES = 8
_NOT_IN_SCORES = ("name", "license", "reads")


def encoder_hash(encoder: nn.Module, config: AesMambaConfig) -> str:
    """Names everything f_v depends on: the encoder's weights, and how photos are prepared."""
    described = config.to_dict()
    prepared = {key: described[key] for key in ("encoder", "image_size", "mean", "std")}
    return _digest(prepared, [encoder])


def backbone_hash(model: AesMamba) -> str:
    """Names everything a score depends on (the text encoder aside: its words are
    stored with each personal model)."""
    config = model.config.to_dict()
    described = {key: value for key, value in config.items() if key not in _NOT_IN_SCORES}
    parts = [model.encoder, model.fusion, model.heads]
    return _digest(described, [part for part in parts if part is not None])


def model_id(model: AesMamba) -> str:
    """Name and fingerprint, for records and people."""
    return f"{model.config.name}@{backbone_hash(model)}"


def _digest(described: object, modules: Iterable[nn.Module]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    digest.update(json.dumps(described, sort_keys=True).encode())
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
