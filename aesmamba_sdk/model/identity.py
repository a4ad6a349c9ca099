"""Fingerprints of models: what an embedding or a personal model belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.model.weights import Weights, as_used

if TYPE_CHECKING:
    from torch import Tensor

SCORING_PARTS = ("encoder", "fusion", "heads")
"""All that a score depends on but the text encoder, whose words are stored with each person."""
_DIGEST_BYTES = 8
_NOT_IN_SCORES = ("name", "license", "reads", "deviations")
"""The last are told by the weights that read them."""
_PREPARED = ("described", "encoder", "image_size", "mean", "std", "brighter_left")
_DESCRIBED = "f_v, deviations at stride 16; small photos enlarged"
"""What encoders keep of photos; whoever changes it orphans what was kept before."""


def encoder_hash(weights: Mapping[str, NDArray[Any]], config: AesMambaConfig) -> str:
    """Names everything f_v depends on: the encoder's weights, and how photos are prepared.

    Args:
        weights: of the encoder at least, by their names in the whole model.
        config: of the model.
    """
    described = _described(config)
    prepared = {key: described[key] for key in _PREPARED if key in described}
    return _digest(prepared, weights, SCORING_PARTS[:1])


def backbone_hash(weights: Mapping[str, NDArray[Any]], config: AesMambaConfig) -> str:
    """Names everything a score depends on, the text encoder aside; arguments as above."""
    described = {k: v for k, v in _described(config).items() if k not in _NOT_IN_SCORES}
    return _digest(described, weights, SCORING_PARTS)


def _described(config: AesMambaConfig) -> dict[str, Any]:
    described = config.to_dict() | {"described": _DESCRIBED}
    if not config.brighter_left:  # models keep the names they had before there was a choice
        del described["brighter_left"]
    return described


def as_weights(state: Mapping[str, Tensor]) -> Weights:
    """A network's weights as the fingerprints take them."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}


def _digest(described: object, weights: Mapping[str, NDArray[Any]], parts: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    digest.update(json.dumps(described, sort_keys=True).encode())
    for name in sorted(weights):
        part, _, inner = name.partition(".")
        if part in parts:
            value = as_used(weights[name])
            digest.update(f"{inner} torch.{value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()
