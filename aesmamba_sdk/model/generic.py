"""The adaptation heads at scoring time, in numpy: f_v of photos alone to generic scores.

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
from aesmamba_sdk.model.config import AesMambaConfig

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
        try:
            self._heads = {name: _Head.of(weights, name) for name in config.attributes}
        except KeyError as error:
            raise CheckpointError(
                f"model {config.name!r} does not fit its configuration: missing {error.args[0]}"
            ) from error
        scale = config.scale
        self._bins = np.linspace(scale.low, scale.high, config.bins, dtype=np.float32)

    def __call__(self, features: Array, attributes: Sequence[str]) -> Array:
        """Scores (n, len(attributes)) of f_v (n, d), not clipped to the scale."""
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
    """Weights (inputs, outputs) and biases of the adapter and the score head of one attribute."""

    down: tuple[Array, Array]
    up: tuple[Array, Array]
    hidden: tuple[Array, Array]
    out: tuple[Array, Array]

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[Any]], attribute: str) -> _Head:
        def layer(name: str) -> tuple[Array, Array]:
            prefix = f"heads.heads.{attribute}.{name}"
            return weights[f"{prefix}.weight"].T, weights[f"{prefix}.bias"]

        return cls(*map(layer, ("adapter.down", "adapter.up", "score.0", "score.2")))

    def __call__(self, f: Array) -> Array:
        adapted = f + _linear(gelu(_linear(f, self.down)), self.up)
        return _linear(np.maximum(_linear(adapted, self.hidden), 0), self.out)


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
