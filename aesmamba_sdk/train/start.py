"""The model a run begins with: random, or with parts of models that were trained before."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.aesmamba import AesMamba, ImageEncoder, build_encoder
from aesmamba_sdk.model.config import CLIP_MEAN, CLIP_STD, ENCODERS, AesMambaConfig, TextConfig
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.model.library import find_model
from aesmamba_sdk.model.text import TextEncoder, TextTokenizer
from aesmamba_sdk.model.transformers_image import Colour, from_transformers, input_statistics
from aesmamba_sdk.paths import home_folder
from aesmamba_sdk.train.attributes import attribute_head, start_at_means
from aesmamba_sdk.train.datasets import Dataset
from aesmamba_sdk.train.tasks import Examples, Task

_HEADS = (12, 8, 6, 4, 3, 2, 1)


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        encoder: a VMamba preset, with random weights; or an image network of ``transformers``, as
            ``from_transformers`` takes it. By default ``nano``.
        model: name or folder of a model instead, imported or trained: its encoder, and those of
            its heads, fusion and text encoder that fit, are taken over.
        text: ``compact``, or a folder with a BERT and its vocabulary. By default the model's, else
            ``compact``.
    """

    encoder: str | None = None
    model: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class _Parts:
    """What is there before the model is put together."""

    encoder: ImageEncoder
    mean: Colour
    std: Colour
    trained: AesMamba | None = None


def build(
    start: Start,
    task: Task,
    examples: Examples,
    dataset: Dataset,
    *,
    image_size: int,
    seed: int,
    name: str,
    license: str,  # noqa: A002 -- as the configuration calls it
) -> tuple[AesMamba, tuple[str, ...]]:
    """The model of a task on a dataset.

    Heads begin at the mean label, so that the first steps need not find it.

    Returns:
        The model, and the names of the parts that were taken over.

    Raises:
        SetupError: both an encoder and a model are named, or a text where the task reads none, or
            the encoder cannot see photos of that size.
        CheckpointError: what is named is not there or not usable.
    """
    torch.manual_seed(seed)
    parts = _find(start, image_size)
    _check_size(parts.encoder, image_size)
    text, tokenizer = _text(start, task, parts)
    votes = examples.photos.votes
    features = parts.encoder.config.features
    config = AesMambaConfig(
        name=name,
        encoder=parts.encoder.config,
        text=None if text is None else text.config,
        reads=task.reads or "prompt",
        attributes=examples.attributes,
        bins=1 if votes is None else votes.shape[1],
        scale_classes=dataset.categories.number,
        head_hidden=256 if parts.trained is None else parts.trained.config.head_hidden,
        fusion_heads=next(n for n in _HEADS if features % n == 0),
        deviations=parts.trained is not None and parts.trained.config.deviations,
        scale=dataset.scale,
        image_size=image_size,
        mean=parts.mean,
        std=parts.std,
        brighter_left=parts.trained is not None and parts.trained.config.brighter_left,
        license=license,
    )
    if parts.trained is not None and parts.trained.fusion is not None:
        heads = parts.trained.config.fusion_heads
        config = dataclasses.replace(config, fusion_heads=heads)
    model = AesMamba(config, tokenizer=tokenizer)
    start_at_means(model, examples.photos)
    model.encoder.load_state_dict(parts.encoder.state_dict())
    if text is not None and model.text is not None:
        model.text.load_state_dict(text.state_dict())
    if parts.trained is None:
        return model, ()
    taken = ["encoder", *_take_over(model, parts.trained)]
    if text is not None and text is parts.trained.text:
        taken.append("text encoder")
    return model, tuple(taken)


def _find(start: Start, image_size: int) -> _Parts:
    if start.model is not None:
        if start.encoder is not None:
            raise SetupError("name an encoder or a model to begin from, not both")
        trained = load_model(find_model(start.model, home_folder()))
        return _Parts(trained.encoder, trained.config.mean, trained.config.std, trained)
    source = start.encoder or "nano"
    if source in ENCODERS:
        return _Parts(build_encoder(ENCODERS[source]), CLIP_MEAN, CLIP_STD)
    encoder = from_transformers(source, image_size=image_size)
    return _Parts(encoder, *input_statistics(source))


def _check_size(encoder: ImageEncoder, side: int) -> None:
    """Refuse a size that the network cannot see, before a step fails over it."""
    try:
        with torch.no_grad():
            encoder.eval().describe(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        raise SetupError(
            f"this encoder cannot see photos of {side} x {side} pixels ({reason}): choose another "
            "image size, such as 224"
        ) from error


def _text(
    start: Start, task: Task, parts: _Parts
) -> tuple[TextEncoder | None, TextTokenizer | None]:
    features = parts.encoder.config.features
    if task.reads is None:
        if start.text is not None:
            raise SetupError("this task reads no text: leave the text encoder out")
        return None, None
    trained = parts.trained
    if start.text is None and trained is not None and trained.text is not None:
        return trained.text, trained.tokenizer
    if start.text in (None, "compact"):
        return TextEncoder(TextConfig.compact(), out_features=features), TextTokenizer.compact()
    folder = Path(start.text or "")
    tokenizer = TextTokenizer.load(folder)
    return TextEncoder.from_bert(folder, out_features=features), tokenizer


def _take_over(model: AesMamba, trained: AesMamba) -> list[str]:
    """Load the heads and the fusion of ``trained`` that mean the same here; tell which."""
    ours, theirs = model.config, trained.config
    taken = []
    if ours.bins == theirs.bins == 1 or (ours.scale, ours.bins) == (theirs.scale, theirs.bins):
        shared = [name for name in ours.attributes if name in theirs.attributes]
        taken = [f"head {name}" for name in shared if _load_head(model, trained, name)]
    same_texts = (ours.reads, ours.text) == (theirs.reads, theirs.text)
    if same_texts and model.fusion is not None and trained.fusion is not None:
        taken += ["fusion"] if _load(model.fusion, trained.fusion) else []
    return taken


def _load_head(model: AesMamba, trained: AesMamba, name: str) -> bool:
    """Take over how an attribute is scored, on our scale, and its categories if they are ours."""
    head, other = attribute_head(model, name), attribute_head(trained, name)
    if not _load(head.adapter, other.adapter) or not _load(head.score, other.score):
        return False
    if head.variation is not None and other.variation is not None:
        _load(head.variation, other.variation)
    ours, theirs = model.config.scale, trained.config.scale
    if ours != theirs:
        slope = ours.width / theirs.width
        head.stretch(slope, ours.low - slope * theirs.low)
    elif head.scale_class is not None and other.scale_class is not None:
        _load(head.scale_class, other.scale_class)
    return True


def _load(module: nn.Module, other: nn.Module) -> bool:
    """Copy the other's weights if they have the same names and shapes."""
    own, given = module.state_dict(), other.state_dict()
    fits = own.keys() == given.keys() and all(own[k].shape == given[k].shape for k in own)
    if fits:
        module.load_state_dict(given)
    return fits
