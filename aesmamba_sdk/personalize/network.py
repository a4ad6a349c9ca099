"""The part of AesMamba-P that one person changes: a copy, so that the shared model never is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.aesmamba import AesMamba, ImageEncoder
from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.model.identity import as_weights, encoder_hash
from aesmamba_sdk.model.network import to_array
from aesmamba_sdk.model.vmamba import VMamba
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.methods import Reach


class PersonalNetwork(nn.Module):
    """Photos to one person's raw scores, their prompt already read.

    Args:
        model: the shared model; copied, never changed.
        text: (1, tokens, d) token features of the prompt.
        mask: (1, tokens).
        reach: what may change: ``heads``: fusion and the first head, from what they read;
            ``stage``: also the encoder's last stage, from the maps before it; ``all``: also the
            whole encoder, from images.
    """

    text: Tensor
    mask: Tensor

    def __init__(self, model: AesMamba, text: Tensor, mask: Tensor, reach: Reach = "heads") -> None:
        super().__init__()
        if model.fusion is None:
            raise ValueError(f"model {model.config.name!r} has no fusion with text")
        self.reach, self.width = reach, model.config.head_inputs
        self.encoder = None if reach == "heads" else copy.deepcopy(model.encoder)
        self.fusion = copy.deepcopy(model.fusion)
        self.heads = copy.deepcopy(model.heads)
        self.heads.attributes = model.heads.attributes[:1]
        self.heads.heads = nn.ModuleDict({k: self.heads.heads[k] for k in self.heads.attributes})
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        self.requires_grad_(False)

    def inputs(self, images: Tensor, shared: AesMamba) -> Tensor:
        """What ``forward`` takes for normalised images: the part before what may change."""
        if self.reach == "all":
            return images
        if self.reach == "heads":
            return shared.embed(images)
        return _staged(shared.encoder).trunk(images)

    def features(self, x: Tensor) -> Tensor:
        """What fusion and heads read, (batch, width), from what :meth:`inputs` gives."""
        if self.encoder is None:
            return x
        if self.reach == "stage":
            encoder = _staged(self.encoder)
            described = encoder.pool(encoder.last_stage(x), x)
        else:
            described = self.encoder.describe(x)
        return described[:, : self.width]

    def from_features(self, read: Tensor) -> Tensor:
        """(batch, width) to raw scores (batch,)."""
        scores: Tensor = self.heads(self.fusion(read, self.words(), self.mask)).scores
        return scores[:, 0]

    def words(self) -> Tensor:
        """(1, tokens, d) token features of the prompt."""
        return self.text

    def raw_scores(self, features: Array) -> Vector:
        """What the backbone keeps of photos, (n, described), to raw scores (n,), in numpy."""
        with torch.inference_mode():
            return to_array(self.from_features(self.read(features))).astype(np.float64)

    def read(self, features: Array) -> Tensor:
        """The part of what the backbone keeps of photos that fusion and heads read, (n, width)."""
        return torch.from_numpy(features)[:, : self.width]

    def encoder_key(self, config: AesMambaConfig) -> str:
        """What features of this person's own encoder are cached under."""
        return encoder_hash(as_weights(self.state_dict()), config)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_features(self.features(x))

    def adaptable(self) -> Iterator[str]:
        """Names of the linear layers that LoRA reaches."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and self._reached(name):
                yield name

    def _reached(self, name: str) -> bool:
        if self.encoder is None or not name.startswith("encoder."):
            return ".scale_class." not in name  # it trains the shared heads, it scores nothing
        if self.reach == "all":
            return True
        return name.startswith(f"encoder.stages.{len(_staged(self.encoder).stages) - 1}.")

    @torch.no_grad()
    def merge(self, adapter: Mapping[str, Tensor], scaling: float) -> None:
        """Add W += scaling · B A for every pair in a peft state dict, without peft.

        Raises:
            PersonalizeError: a key names no layer of this network, or a pair is incomplete.
        """
        pairs: dict[str, dict[str, Tensor]] = {}
        for key, value in adapter.items():
            layer, _, kind = key.removeprefix("base_model.model.").rpartition(".lora_")
            pairs.setdefault(layer, {})[kind.partition(".")[0]] = value
        layers = dict(self.named_modules())
        for name, pair in pairs.items():
            linear = layers.get(name)
            if not isinstance(linear, nn.Linear) or set(pair) != {"A", "B"}:
                raise _unfit(name)
            linear.weight += scaling * (pair["B"].float() @ pair["A"].float())

    @torch.no_grad()
    def shift(self, changes: Mapping[str, Tensor]) -> None:
        """Add what weights gained by full fine-tuning, by their names.

        Raises:
            PersonalizeError: a name is no weight of this network, or its shape another.
        """
        weights = self.state_dict()
        for name, change in changes.items():
            if name not in weights or weights[name].shape != change.shape:
                raise _unfit(name)
            weights[name] += change.float()


def _unfit(name: str) -> PersonalizeError:
    return PersonalizeError(
        f"the personal model does not fit this backbone at {name!r}; personalize again",
        code="personal_model_unfit",
    )


def _staged(encoder: ImageEncoder) -> VMamba:
    if not isinstance(encoder, VMamba):
        raise PersonalizeError(
            "this model's image encoder has no last stage to reach: use heads or all",
            code="no_stages",
        )
    return encoder
