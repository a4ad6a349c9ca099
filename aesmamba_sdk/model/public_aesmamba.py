"""Import of state dicts saved by the public AesMamba code, strict about every key."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.checkpoint import read_state_dict, vmamba_from_state
from aesmamba_sdk.model.config import AesMambaConfig, TextConfig
from aesmamba_sdk.model.folder import load_strictly
from aesmamba_sdk.scores import ATTRIBUTES, UNIT_SCORES, Scale

_CAPTIONED = "img_model."  # the image encoder of V and M; F's and P's is img_feature
_ENCODER = re.compile(r"(?:img_model|img_feature)\.(.+)")
_BERT = "text_backbone.bert_model."
_POSITION_IDS = _BERT + "embeddings.position_ids"  # a constant that older transformers saved
_PUBLIC_ATTRIBUTES = (
    "aesthetic",
    "quality",
    "composition",
    "color",
    "dof",
    "light",
    "content",
    "contentPreference",
    "willingToShare",
)
_ATTRIBUTE = dict(zip(_PUBLIC_ATTRIBUTES, ATTRIBUTES, strict=True))
_HEAD = re.compile(r"(?:multi_attr_)?pred_head\.(\w+)_head\.(\w+)\.(\d)\.(\w+)")
_HEAD_PARTS = {
    ("adatper", "0"): "adapter.down",  # the public code's spelling
    ("adatper", "2"): "adapter.up",
    ("heads", "0"): "score.0",
    ("heads", "2"): "score.2",
    ("classes_heads", "0"): "scale_class.0",
    ("classes_heads", "2"): "scale_class.2",
}
_FUSION = {
    "cross_attention.to_q": "to_q",
    "cross_attention.to_kv": "to_kv",
    "cross_attention.to_out.0": "to_out",
    "norm_attn_img": "norm_image",
    "norm_attn_text": "norm_text",
    "norm_ffn": "norm_ffn",
    "ffn.fc1": "fc1",
    "ffn.fc2": "fc2",
}


def load_public_aesmamba(file: Path, *, name: str, scale: Scale | None = None) -> AesMamba:
    """Build the AesMamba-V, -F, -M or -P that a file of the public code holds.

    Args:
        file: a state dict, as the public training scripts save it.
        name: what the model is to be called.
        scale: range of the labels it was trained on; by default 1 to the number of bins of a
            distribution, and 1-5 (PARA's) for regression.

    Raises:
        CheckpointError: the file is no AesMamba, or a key in it is not accounted for.
    """
    state = {k.removeprefix("module."): v for k, v in read_state_dict(file).items()}
    return aesmamba_from_state(state, name=name, scale=scale, source=str(file))


def aesmamba_from_state(
    state: dict[str, Tensor], *, name: str, scale: Scale | None = None, source: str
) -> AesMamba:
    """Build the model of a public AesMamba state dict."""
    matches = {k: _ENCODER.fullmatch(k) for k in state}
    encoder = vmamba_from_state(
        {m[1]: state[k] for k, m in matches.items() if m}, source=f"{source}, image encoder"
    )
    rest = {k: v for k, v in state.items() if not matches[k] and k != _POSITION_IDS}
    converted = {_rename(k, source): v for k, v in rest.items()}
    converted |= {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    attributes = tuple(a for a in ATTRIBUTES if f"heads.heads.{a}.score.0.weight" in converted)
    if not attributes:
        raise CheckpointError(f"{source} has no prediction head: not an AesMamba file")
    head = f"heads.heads.{attributes[0]}"
    bins = len(converted[f"{head}.score.2.weight"]) if f"{head}.score.2.weight" in converted else 1
    classes = converted.get(f"{head}.scale_class.2.weight")
    text = _text_config(rest) if any(k.startswith(_BERT) for k in rest) else None
    captioned = text is not None and any(k.startswith(_CAPTIONED) for k in state)
    config = AesMambaConfig(
        name=name,
        encoder=encoder.config,
        text=text,
        reads="caption" if captioned else "prompt",
        attributes=attributes,
        bins=bins,
        scale_classes=0 if classes is None else len(classes),
        head_hidden=len(converted[f"{head}.score.0.weight"]),
        scale=scale or (UNIT_SCORES if bins == 1 else Scale(1.0, float(bins))),
        license="unknown: ask whoever trained the imported file",
    )
    model = AesMamba(config)
    load_strictly(model, converted, source)
    return model.eval()


def _rename(key: str, source: str) -> str:
    if key.startswith(_BERT):
        return "text.bert." + key.removeprefix(_BERT)
    head = _HEAD.fullmatch(key)
    if head and head[1] in _ATTRIBUTE and (head[2], head[3]) in _HEAD_PARTS:
        return f"heads.heads.{_ATTRIBUTE[head[1]]}.{_HEAD_PARTS[head[2], head[3]]}.{head[4]}"
    if key.startswith("attrInject."):
        module, _, parameter = key.removeprefix("attrInject.").rpartition(".")
        if module in _FUSION:
            return f"fusion.{_FUSION[module]}.{parameter}"
    raise CheckpointError(f"{source}: unknown key {key}", code="unknown_key")


def _text_config(state: dict[str, Tensor]) -> TextConfig:
    """BERT's numbers from its weights; BERT's attention heads are 64 wide."""
    try:
        vocabulary, width = state[_BERT + "embeddings.word_embeddings.weight"].shape
        positions = len(state[_BERT + "embeddings.position_embeddings.weight"])
        intermediate = len(state[_BERT + "encoder.layer.0.intermediate.dense.weight"])
    except KeyError as error:
        raise CheckpointError(f"the text encoder lacks {error.args[0]}") from error
    layers = {k.split(".")[4] for k in state if k.startswith(_BERT + "encoder.layer.")}
    return TextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // 64),
        intermediate_size=intermediate,
        max_position_embeddings=positions,
        pooler=_BERT + "pooler.dense.weight" in state,
    )
