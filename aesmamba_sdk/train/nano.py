"""The recipe of ``pretrained/nano``: PARA's generic scores, then its nine attributes.

    AESMAMBA_DATA=… python -m aesmamba_sdk.train.nano --out runs/nano --save pretrained/nano

Killed at any moment, the same command goes on from the last checkpoint. Nothing is chosen on the
500 test photos: they are scored once, at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.metrics import accuracy, plcc, srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import save_reference
from aesmamba_sdk.model.config import preset
from aesmamba_sdk.model.folder import save_model
from aesmamba_sdk.model.heads import AttributeHead
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.model.text import TextTokenizer
from aesmamba_sdk.train.data import PhotoSet, data_folder, para_fiaa, para_giaa
from aesmamba_sdk.train.loop import Trainer, TrainingArguments, augment, embed, predict
from aesmamba_sdk.train.losses import (
    SCALE_WEIGHT,
    balanced_cross_entropy,
    category_counts,
    masked_mse,
    scale_category,
)
from aesmamba_sdk.train.teacher import MobileNetV2Teacher

LICENSE = "research and learning only, no commercial use (trained on PARA)"
STORED = torch.float16
_TEACHER = "teacher/mobilenet_v2_1.0_224_imagenet_int8.tflite"
_PRETRAINED = ("aesthetic", "quality")
_GOOD = 3.0  # PARA's threshold between low and high aesthetic quality
_VIEWS, _HEAD_EPOCHS, _HEAD_RATE, _HEAD_BATCH = 8, 30, 5e-4, 64
_RESAMPLES = 1000


@dataclass(frozen=True)
class Stage:
    """Part of the pretraining at one resolution, written ``SIZE:EPOCHS:RATE``."""

    size: int
    epochs: float
    rate: float

    @classmethod
    def parse(cls, text: str) -> Stage:
        size, epochs, rate = text.split(":")
        return cls(int(size), float(epochs), float(rate))


STAGES = (Stage(128, 6, 5e-4), Stage(160, 1.5, 3e-4))
"""Small photos first: most of what is to be learned can be seen at 128 pixels, at 2/3 the cost."""


def pretrain(
    out: Path,
    photos: PhotoSet,
    validation: PhotoSet,
    stages: Sequence[Stage] = STAGES,
    *,
    seed: int,
    bfloat16: bool,
) -> AesMamba:
    """GIAA: the encoder and the aesthetic and quality heads on PARA's training photos."""
    torch.manual_seed(seed)
    model = AesMamba(preset("nano", variant="F"))
    start_at_means(model, photos)
    teacher = MobileNetV2Teacher.from_tflite(data_folder() / _TEACHER)
    for number, stage in enumerate(stages):
        arguments = TrainingArguments(
            epochs=stage.epochs,
            image_size=stage.size,
            learning_rate=stage.rate,
            seed=seed + number,
            bfloat16=bfloat16,
        )
        folder = out / f"giaa-{stage.size}"
        Trainer(model, photos, validation, folder, arguments, teacher).run()
    return model


def choose_size(model: AesMamba, validation: PhotoSet, sizes: tuple[int, ...]) -> int:
    """The side at which the aesthetic score ranks the validation photos best.

    Random crops magnify in training, so the best size for whole photos is often a larger one.
    """
    target = validation.scores[:, 0]
    return max(sizes, key=lambda size: srcc(predict(model, validation, size)[:, 0], target))


def adapt_heads(
    model: AesMamba, photos: PhotoSet, validation: PhotoSet, size: int, seed: int
) -> None:
    """FIAA: the other attributes' heads on the frozen encoder's features.

    They start as copies of the aesthetic head. The pretrained heads saw 14 times as many photos
    and stay. The epoch that ranks the validation photos best is kept.
    """
    names = [name for name in model.config.attributes if name not in _PRETRAINED]
    start_from_aesthetic(model, names)
    features = torch.stack([_embed_view(model, photos, size, seed + i) for i in range(_VIEWS)])
    held_out = embed(model, validation, size)
    heads = nn.ModuleList(_head(model, name) for name in names)
    columns = [model.config.attributes.index(name) for name in names]
    scores, target = photos.scores[:, columns], validation.scores[:, columns]
    classes = scale_category(scores)
    counts = category_counts(classes, model.config.scale_classes)
    optimizer = torch.optim.AdamW(heads.parameters(), _HEAD_RATE, (0.9, 0.99), weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    best, kept = -1.0, heads.state_dict()
    for _ in range(_HEAD_EPOCHS):
        for rows in torch.randperm(len(photos), generator=generator).split(_HEAD_BATCH):
            view = torch.randint(_VIEWS, (len(rows),), generator=generator)
            predicted, logits = _run_heads(heads, features[view, rows])
            loss = masked_mse(predicted, scores[rows])
            loss = loss + SCALE_WEIGHT * balanced_cross_entropy(logits, classes[rows], counts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            predicted, _ = _run_heads(heads, held_out)
        mean = float(np.mean([srcc(predicted[:, i], target[:, i]) for i in range(len(names))]))
        if mean > best:
            best, kept = mean, {k: v.clone() for k, v in heads.state_dict().items()}
    heads.load_state_dict(kept)


def start_from_aesthetic(model: AesMamba, names: list[str]) -> None:
    """Copy the aesthetic head into the heads of ``names``."""
    for name in names:
        _head(model, name).load_state_dict(_head(model, "aesthetic").state_dict())


def start_at_means(model: AesMamba, photos: PhotoSet) -> None:
    """Let untrained heads begin at the mean label, so that the first steps need not find it."""
    means = photos.scores.nanmean(0)
    with torch.no_grad():
        for name, mean in zip(model.config.attributes, means, strict=True):
            last = _head(model, name).score[-1]
            assert isinstance(last, nn.Linear)
            if not mean.isnan():
                last.bias.fill_(mean)


def figures(model: AesMamba, features: Tensor, target: Tensor, seed: int) -> dict[str, object]:
    """SRCC, PLCC and accuracy per attribute with 95 % bootstrap intervals of the SRCC."""
    with torch.no_grad():
        scores = model.heads(features).scores
    rng = np.random.default_rng(seed)
    samples = rng.integers(len(target), size=(_RESAMPLES, len(target)))
    rows: dict[str, object] = {}
    for i, name in enumerate(model.config.attributes):
        x, y = scores[:, i].numpy(), target[:, i].numpy()
        low, high = np.quantile([srcc(x[s], y[s]) for s in samples], [0.025, 0.975])
        rows[name] = {
            "srcc": round(srcc(x, y), 3),
            "srcc_interval": [round(float(low), 3), round(float(high), 3)],
            "plcc": round(plcc(x, y), 3),
            "accuracy": round(accuracy(x, y, _GOOD), 3),
            "copy_of_aesthetic_srcc": round(srcc(scores[:, 0], y), 3),
            "mean_error": round(float((x - y).mean()), 3),
        }
    return rows


def assemble(scored: AesMamba, size: int, seed: int) -> AesMamba:
    """The shipped model: what was trained, with text and fusion that add nothing yet.

    Its weights are rounded as they will be stored, so that all figures are of what ships.
    """
    torch.manual_seed(seed)
    config = dataclasses.replace(preset("nano"), image_size=size, license=LICENSE)
    model = AesMamba(config, tokenizer=TextTokenizer.compact())
    model.encoder.load_state_dict(scored.encoder.state_dict())
    model.heads.load_state_dict(scored.heads.state_dict())
    return model.to(STORED).float().eval()


def _embed_view(model: AesMamba, photos: PhotoSet, size: int, seed: int) -> Tensor:
    """f_v of one random crop of every photo."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for rows in np.array_split(np.arange(len(photos)), -(-len(photos) // 64)):
        pixels, _ = photos.batch(rows)
        with torch.no_grad():
            images = normalize(augment(pixels, size, generator), model.config)
            parts.append(model.eval().embed(images))
    return torch.cat(parts)


def _run_heads(heads: nn.ModuleList, features: Tensor) -> tuple[Tensor, Tensor]:
    outputs = [head(features) for head in heads]
    return torch.cat([score for score, _ in outputs], 1), torch.stack([c for _, c in outputs], 1)


def _head(model: AesMamba, name: str) -> AttributeHead:
    head = model.heads.heads[name]
    assert isinstance(head, AttributeHead)
    return head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, caches and metrics")
    parser.add_argument("--save", type=Path, required=True, help="the finished model folder")
    parser.add_argument("--stages", type=Stage.parse, nargs="+", default=STAGES)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 144, 160, 192, 224])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    para, cache, seed = data_folder() / "para", options.out / "cache", options.seed
    labelled = para_fiaa(para, cache, test=False)
    learning = labelled.subset([i for i in range(len(labelled)) if i % 4])
    validation = labelled.subset(range(0, len(labelled), 4))
    model = pretrain(
        options.out,
        para_giaa(para, cache),
        validation,
        options.stages,
        seed=seed,
        bfloat16=options.bfloat16,
    )
    size = choose_size(model, validation, tuple(options.sizes))
    adapt_heads(model, learning, validation, size, seed)
    test = para_fiaa(para, cache, test=True)
    finished = assemble(model, size, seed)
    features = embed(finished, test, size)
    save_model(finished, options.save, dtype=STORED)
    save_reference(options.save, features)
    report = {"image_size": size, "test": figures(finished, features, test.scores, seed)}
    (options.out / "figures.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
