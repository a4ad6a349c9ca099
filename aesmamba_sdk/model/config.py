"""What a model is made of, as plain values: configurations and the named presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.scores import ATTRIBUTES, UNIT_SCORES, Scale

T = TypeVar("T")

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
MAX_TOKENS = 512

SHORTEST_DEVIATIONS = 1e-3
"""Length below which a photo's deviations, which heads read as a direction, stay shorter than 1:
those of a plain surface."""

Precision = Literal["float32", "bfloat16"]
"""Of the encoder's products and, on a CPU, the maps between them; weights, scans and all that
follows from f_v stay float32."""


@dataclass(frozen=True)
class VMambaConfig:
    """The VMamba image encoder: vanilla ("v0") or current ("s1", "s2") blocks.

    Attributes:
        depths: blocks per stage.
        dims: channels per stage.
        d_state: N, the state size of the scan.
        ssm_ratio: inner channels of SS2D over the stage's channels.
        mlp_ratio: hidden channels of the MLP over the stage's; 0: no MLP.
        gated: multiply SS2D's output by a SiLU gate z (v0).
        conv_bias: bias in SS2D's depthwise convolution (v0).
        stem: ``"patch"`` one 4x4 convolution (v0); ``"conv"`` two overlapping 3x3 ones.
        downsample: ``"merge"`` Swin's patch merging (v0); ``"conv"`` a 3x3 convolution, stride 2.
        drop_path_rate: stochastic depth of the last block; grows linearly from 0.
    """

    depths: tuple[int, ...] = (2, 2, 8, 2)
    dims: tuple[int, ...] = (96, 192, 384, 768)
    d_state: int = 1
    ssm_ratio: float = 1.0
    mlp_ratio: float = 4.0
    gated: bool = False
    conv_bias: bool = False
    stem: Literal["patch", "conv"] = "conv"
    downsample: Literal["merge", "conv"] = "conv"
    drop_path_rate: float = 0.0

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.dims) or not self.depths:
            raise CheckpointError(
                f"an encoder needs one depth per width, not {self.depths} for {self.dims}"
            )

    @property
    def features(self) -> int:
        """Width d of the features F_v and f_v."""
        return self.dims[-1]

    @property
    def described(self) -> int:
        """Width of what is kept of a photo: f_v, and a deviation for each channel at stride 16."""
        return sum(self.dims[-2:])

    @classmethod
    def vanilla(cls, depths: tuple[int, ...], width: int) -> VMambaConfig:
        """The first published VMamba ("v0"), which the paper uses."""
        return cls(
            depths=depths,
            dims=tuple(width << i for i in range(len(depths))),
            d_state=16,
            ssm_ratio=2.0,
            mlp_ratio=0.0,
            gated=True,
            conv_bias=True,
            stem="patch",
            downsample="merge",
        )


@dataclass(frozen=True)
class TransformersImageConfig:
    """An image encoder of ``transformers`` in VMamba's place.

    Attributes:
        model_type: its kind, e.g. ``"resnet"``.
        features: width d of f_v.
        settings: of that kind's configuration, where they differ from its defaults.
    """

    model_type: str
    features: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def described(self) -> int:
        """Width of what is kept of a photo: f_v alone."""
        return self.features


EncoderConfig = VMambaConfig | TransformersImageConfig


@dataclass(frozen=True)
class TextConfig:
    """The numbers of a BERT encoder, named as in ``transformers.BertConfig``.

    ``pooler`` keeps BERT's pooling layer: nothing uses it, but the public AesMamba files hold it.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = MAX_TOKENS
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int = 0
    pooler: bool = False

    @classmethod
    def bert_base(cls) -> TextConfig:
        """The paper's size, bert-base-uncased."""
        return cls()

    @classmethod
    def compact(cls) -> TextConfig:
        """A small encoder for the ``nano`` model."""
        return cls(
            vocab_size=4000,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=512,
            max_position_embeddings=256,
        )

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TextConfig:
        """Read the ``text`` part of a config.json.

        Raises:
            CheckpointError: a field is unknown or of the wrong kind.
        """
        return _strict(cls, record)


@dataclass(frozen=True)
class AesMambaConfig:
    """A whole model: AesMamba-V, -F, -M and -P differ only in these values.

    Attributes:
        name: what people call the model.
        encoder: the image encoder.
        text: the text encoder; ``None``: photos alone (V, F).
        reads: what the text encoder was trained on: ``"prompt"``, who is asking (P), or
            ``"caption"``, what is said of the photo (M).
        attributes: the heads, in order; ``value`` of a score is the first.
        bins: 1: a head regresses the score; more: it gives a distribution over ``bins`` scores
            spread evenly over ``scale``, and the score is its expected value.
        scale_classes: classes of the auxiliary scale head; 0: none.
        head_hidden: hidden width of the score and scale heads.
        fusion_heads: attention heads of the cross-modal fusion.
        deviations: the scores' heads read, besides f, how far each channel at stride 16 varies over
            a photo, where the encoder tells; the paper's read f alone.
        scale: range of all scores.
        image_size: side in pixels that photos are brought to (aspect is not kept: the paper's way).
        mean, std: input normalisation per RGB channel.
        brighter_left: photos to score are mirrored where their right half is the brighter one, so
            that a photo and its mirror image are one to the network; the paper's see both.
        license: terms of the weights, for ``doctor`` and model cards.
    """

    name: str = "nano"
    encoder: EncoderConfig = field(default_factory=VMambaConfig)
    text: TextConfig | None = None
    reads: Literal["prompt", "caption"] = "prompt"
    attributes: tuple[str, ...] = ATTRIBUTES
    bins: int = 1
    scale_classes: int = 4
    head_hidden: int = 256
    fusion_heads: int = 12
    deviations: bool = False
    scale: Scale = UNIT_SCORES
    image_size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    brighter_left: bool = False
    license: str = "untrained"

    @property
    def head_inputs(self) -> int:
        """Width of what the heads read of a photo: f, and deviations if they are to."""
        return self.encoder.described if self.deviations else self.encoder.features

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; :meth:`from_dict` restores it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> AesMambaConfig:
        """Read what :meth:`to_dict` wrote.

        Raises:
            CheckpointError: a field is unknown, missing or of the wrong kind.
        """
        record = dict(record)
        try:
            encoder = record.pop("encoder")
            kind = TransformersImageConfig if "model_type" in encoder else VMambaConfig
            encoder = _strict(kind, encoder)
            text = record.pop("text", None)
            scale = Scale(**record.pop("scale"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the model's config.json is not valid: {error}") from error
        text = None if text is None else TextConfig.from_dict(text)
        return _strict(cls, record | {"encoder": encoder, "text": text, "scale": scale})


def _strict(kind: type[T], record: Any) -> T:
    if not isinstance(record, Mapping):
        raise CheckpointError(f"the model's config.json is not valid: {record!r} is no object")
    kinds = get_type_hints(kind)
    unknown = sorted(set(record) - set(kinds))
    if unknown:
        raise CheckpointError(
            f"unknown fields in the model's config.json: {', '.join(unknown)}. "
            "It may come from a newer aesmamba-sdk: upgrade the package."
        )
    for name, value in record.items():
        if not _is(value, kinds[name]):
            raise CheckpointError(f"the model's config.json is not valid: {name} is {value!r}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()})


def _is(value: Any, kind: Any) -> bool:
    """Whether a value, as JSON has it, is of the annotated kind."""
    origin, of = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in of
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        kinds = of[:1] * len(value) if Ellipsis in of else of
        return len(value) == len(kinds) and all(map(_is, value, kinds))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, origin if origin is dict else kind)


ENCODERS: dict[str, VMambaConfig] = {
    "nano": VMambaConfig(depths=(2, 2, 6, 2), dims=(48, 96, 192, 384), mlp_ratio=3.0),
    "tiny": VMambaConfig(drop_path_rate=0.2),
    "tiny-s2": VMambaConfig(depths=(2, 2, 5, 2), ssm_ratio=2.0, drop_path_rate=0.2),
    "small": VMambaConfig(depths=(2, 2, 20, 2), drop_path_rate=0.3),
    "small-s2": VMambaConfig(depths=(2, 2, 15, 2), ssm_ratio=2.0, drop_path_rate=0.3),
    "base": VMambaConfig(depths=(2, 2, 20, 2), dims=(128, 256, 512, 1024), drop_path_rate=0.5),
    "base-s2": VMambaConfig(
        depths=(2, 2, 15, 2), dims=(128, 256, 512, 1024), ssm_ratio=2.0, drop_path_rate=0.6
    ),
    "tiny-v0": VMambaConfig.vanilla((2, 2, 9, 2), 96),
    "small-v0": VMambaConfig.vanilla((2, 2, 27, 2), 96),
    "base-v0": VMambaConfig.vanilla((2, 2, 27, 2), 128),
}
"""Image encoders by name; the plain names are the current family with ssm_ratio 1 ("s1")."""


def preset(name: str, *, variant: Literal["V", "F", "M", "P"] = "P") -> AesMambaConfig:
    """The configuration of a named model.

    Args:
        name: a key of ``ENCODERS``.
        variant: V one score from a photo; F nine attributes; M one score from photo and text;
            P nine attributes from photo and a person's prompt.

    Raises:
        CheckpointError: no such preset.
    """
    if name not in ENCODERS:
        raise CheckpointError(
            f"unknown model preset {name!r}; there are: {', '.join(ENCODERS)}",
            code="unknown_preset",
        )
    text = TextConfig.compact() if name == "nano" else TextConfig.bert_base()
    return AesMambaConfig(
        name=name,
        encoder=ENCODERS[name],
        text=text if variant in "MP" else None,
        reads="caption" if variant == "M" else "prompt",
        deviations=name == "nano",
        brighter_left=name == "nano",
        attributes=ATTRIBUTES if variant in "FP" else ATTRIBUTES[:1],
    )
