"""The adaptation heads at scoring time, in numpy: what they read of photos to generic scores.

A library whose photos were embedded before is scored, and a taste learned on it, without torch. The
numbers are those of :class:`~aesmamba_sdk.model.heads.MultitaskBalancedAdaptation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import SHORTEST_DEVIATIONS, AesMambaConfig

Array = NDArray[np.float32]

_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_DECAY = 0.3275911


class GenericHeads:
    """The score heads of a model.

    Args:
        weights: of the heads at least, by their names in the whole model.
        config: of the model.

    Raises:
        CheckpointError: a head has no weights.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]], config: AesMambaConfig) -> None:
        deviations = config.head_inputs > config.encoder.features
        try:
            self._heads = {
                name: _Head.of(weights, name, deviations=deviations) for name in config.attributes
            }
        except KeyError as error:
            raise CheckpointError(
                f"model {config.name!r} does not fit its configuration: missing {error.args[0]}"
            ) from error
        scale = config.scale
        self._bins = np.linspace(scale.low, scale.high, config.bins, dtype=np.float32)

    def __call__(self, features: Array, attributes: Sequence[str]) -> Array:
        """Scores (n, len(attributes)) of (n, ``config.head_inputs``), not clipped to the scale."""
        return np.stack([self._score(self._heads[name](features)) for name in attributes], 1)

    def _score(self, raw: Array) -> Array:
        """The score itself, or the expected value of a distribution over scores; (n, bins)."""
        if raw.shape[1] == 1:
            return raw[:, 0]
        shares = np.exp(raw - raw.max(1, keepdims=True))
        expected: Array = shares @ self._bins / shares.sum(1)
        return expected


@dataclass(frozen=True)
class _Head:
    """Weights (inputs, outputs) and biases of the adapter and the score head of one attribute.

    ``variation`` are the deviations' weights, (inputs, outputs), where it reads any.
    """

    down: tuple[Array, Array]
    up: tuple[Array, Array]
    hidden: tuple[Array, Array]
    out: tuple[Array, Array]
    variation: Array | None

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[Any]], attribute: str, *, deviations: bool) -> _Head:
        prefix = f"heads.heads.{attribute}"

        def layer(name: str) -> tuple[Array, Array]:
            return weights[f"{prefix}.{name}.weight"].T, weights[f"{prefix}.{name}.bias"]

        down, up, hidden, out = map(layer, ("adapter.down", "adapter.up", "score.0", "score.2"))
        variation = weights[f"{prefix}.variation.weight"].T if deviations else None
        return cls(down, up, hidden, out, variation)

    def __call__(self, read: Array) -> Array:
        f, deviations = np.split(read, [len(self.down[0])], 1)
        adapted = f + _linear(gelu(_linear(f, self.down)), self.up)
        raw = _linear(np.maximum(_linear(adapted, self.hidden), 0), self.out)
        if self.variation is not None:
            raw += _direction(deviations) @ self.variation
        return raw


def gelu(x: Array) -> Array:
    """x Φ(x), with Φ by the error function (Abramowitz and Stegun 7.1.26, within 1.5e-7)."""
    size = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(_ERF_DECAY) * size)
    series = np.zeros_like(t)
    for coefficient in reversed(_ERF):
        series = (series + np.float32(coefficient)) * t
    tail = series * np.exp(-size * size)  # 1 - erf, of |x|
    out: Array = 0.5 * x * np.where(x < 0, tail, 2 - tail)
    return out


def _linear(x: Array, layer: tuple[Array, Array]) -> Array:
    weight, bias = layer
    out: Array = x @ weight + bias
    return out


def _direction(x: Array) -> Array:
    """Each row centred, at length 1; shorter, if all but nothing varies."""
    centred = x - x.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    out: Array = centred / np.maximum(length, np.float32(SHORTEST_DEVIATIONS))
    return out
