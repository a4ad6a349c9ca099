"""The recipe of ``pretrained/nano``: PARA's generic scores, then its nine attributes.

    AESMAMBA_DATA=… python -m aesmamba_sdk.train.nano giaa --out runs/nano

Killed at any moment, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import preset
from aesmamba_sdk.train.data import PhotoSet, data_folder, para_fiaa, para_giaa
from aesmamba_sdk.train.loop import Trainer, TrainingArguments
from aesmamba_sdk.train.teacher import MobileNetV2Teacher

_TEACHER = "teacher/mobilenet_v2_1.0_224_imagenet_int8.tflite"


def pretrain(out: Path, arguments: TrainingArguments) -> AesMamba:
    """Stage 1, GIAA: the encoder and the aesthetic and quality heads on PARA's training photos."""
    data = data_folder()
    photos = para_giaa(data / "para", out / "cache")
    _, validation = fiaa_split(para_fiaa(data / "para", out / "cache", test=False))
    torch.manual_seed(arguments.seed)
    model = AesMamba(preset("nano", variant="F"))
    start_at_means(model, photos)
    teacher = MobileNetV2Teacher.from_tflite(data / _TEACHER) if arguments.distillation else None
    Trainer(model, photos, validation, out / "giaa", arguments, teacher).run()
    return model


def fiaa_split(photos: PhotoSet) -> tuple[PhotoSet, PhotoSet]:
    """The 2,000 photos with nine attributes: three quarters to learn from, one to choose by."""
    rows = range(len(photos))
    return photos.subset([i for i in rows if i % 4]), photos.subset([i for i in rows if not i % 4])


def start_at_means(model: AesMamba, photos: PhotoSet) -> None:
    """Heads begin at the mean label, so that the first steps are not spent on finding it."""
    means = photos.scores.nanmean(0)
    with torch.no_grad():
        for name, mean in zip(model.config.attributes, means, strict=True):
            last = model.heads.heads[name].score[-1]
            assert isinstance(last, nn.Linear)
            if not mean.isnan():
                last.bias.fill_(mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["giaa"])
    parser.add_argument("--out", type=Path, required=True)
    defaults = TrainingArguments()
    parser.add_argument("--epochs", type=float, default=defaults.epochs)
    parser.add_argument("--image-size", type=int, default=defaults.image_size)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--bfloat16", action="store_true")
    options = parser.parse_args()
    arguments = TrainingArguments(
        epochs=options.epochs,
        image_size=options.image_size,
        seed=options.seed,
        bfloat16=options.bfloat16,
    )
    pretrain(options.out, arguments)


if __name__ == "__main__":
    main()
