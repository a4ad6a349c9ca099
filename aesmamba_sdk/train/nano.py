"""The recipe of ``pretrained/nano``: a teacher, PARA's generic scores, then its nine attributes.

    AESMAMBA_DATA=… python -m aesmamba_sdk.train.nano --out runs/nano --save pretrained/nano

Killed at any moment, the same command goes on from the last checkpoint. Nothing is chosen on the
500 test photos; ``aesmamba evaluate`` tells what the finished model is worth on them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from aesmamba_sdk.memory import keep_freed_memory
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import save_reference
from aesmamba_sdk.model.config import preset
from aesmamba_sdk.model.folder import load_model, save_model
from aesmamba_sdk.model.precision import bfloat16_gain
from aesmamba_sdk.model.text import TextTokenizer
from aesmamba_sdk.scores import ATTRIBUTES
from aesmamba_sdk.train.attributes import (
    adapt_heads,
    calibrate,
    refine_heads,
    refining_set,
    start_at_means,
)
from aesmamba_sdk.train.data import PhotoSet, data_folder
from aesmamba_sdk.train.datasets import read_dataset
from aesmamba_sdk.train.datasets.para import LICENSE
from aesmamba_sdk.train.judge import Judge, JudgeTrainer, Panel, mean_judge, mean_state
from aesmamba_sdk.train.loop import TrainingArguments
from aesmamba_sdk.train.teacher import MobileNetV2
from aesmamba_sdk.train.trainer import Trainer
from aesmamba_sdk.train.views import describe, predict

STORED = torch.float16
_IMAGENET = "teacher/mobilenet_v2_1.0_224_imagenet_int8.tflite"
_SIDE = 192
_TEACHER = TrainingArguments(ema=0.995, validation_steps=110)
"""What it says of ruined photos is not listened to, and it ranks others better for having seen
none."""
_STUDENT = replace(
    _TEACHER,
    optimizer="muon",
    distillation=5.0,
    features=50.0,
    soft_targets=6.0,
    softened=0.4,
)
"""Gradients decide, not losses: at weight 1 and the encoder's last stage, that of the teacher's
features is 1/70 of that of the scores, of which much is noise of the batch, that of its maps
1/1500. With more of both, the network ranks unseen photos better and knows more of what is in
them."""


@dataclass(frozen=True)
class Stage:
    """Training at one resolution, written ``SIZE:EPOCHS:RATE[:BLENDED[:RUINED]]``."""

    size: int
    epochs: float
    rate: float
    blended: float = 0.0
    ruined: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Stage:
        size, *others = text.split(":")
        return cls(int(size), *map(float, others))

    def of(self, fixed: TrainingArguments, seed: int, *, bfloat16: bool) -> TrainingArguments:
        """All that the recipe keeps fixed, at this resolution."""
        return replace(
            fixed,
            epochs=self.epochs,
            image_size=self.size,
            learning_rate=self.rate,
            blended=self.blended,
            ruined=self.ruined,
            seed=seed,
            bfloat16=bfloat16,
        )


TEACHERS = (Stage(160, 1, 3e-4), Stage(144, 1, 3e-4))
STAGES = (Stage(160, 7, 6e-4, 0.5, 0.2), Stage(192, 4, 4e-4, 0.3, 0.06))
"""Small photos first: most of what is to be learned can be seen at 160 pixels, at 2/3 the cost."""


def para(split: str, cache: Path, side: int = _SIDE) -> PhotoSet:
    """PARA as it lies in the data folder, by default at the size of its training photos."""
    return read_dataset("para", data_folder() / "para", split=split).photo_set(cache, side)


def held_out(labelled: PhotoSet) -> PhotoSet:
    """Every fourth of the photos that are not for testing: what validates."""
    return labelled.subset(range(0, len(labelled), 4))


def fine_tune(
    photos: PhotoSet, validation: PhotoSet, folder: Path, stages: Sequence[Stage], seed: int
) -> Judge:
    """The teacher: a MobileNetV2 of ImageNet that has learned PARA's generic scores.

    Each stage fine-tunes one from ImageNet on; the teacher has the mean of their weights.
    """
    judges = []
    for number, stage in enumerate(stages):
        torch.manual_seed(seed + number)
        judge = Judge(imagenet(), photos)
        # In bfloat16 it would learn no faster.
        arguments = stage.of(_TEACHER, seed + number, bfloat16=False)
        part = folder / f"teacher-{number}"
        JudgeTrainer(judge, photos, validation, part, arguments, ATTRIBUTES).run()
        judges.append(judge.requires_grad_(False))
    return mean_judge(judges, imagenet())


def imagenet() -> MobileNetV2:
    """The network that every teacher begins as."""
    return MobileNetV2.from_tflite(data_folder() / _IMAGENET)


def panel(judge: Judge, *, bfloat16: bool) -> Panel:
    """The judge and its ImageNet self, frozen; they see in bfloat16 where the student does."""
    origin = imagenet()
    if bfloat16:
        judge.network.bfloat16()
        origin.bfloat16()
    return Panel(judge, origin).requires_grad_(False)


def student(init: Sequence[Path], photos: PhotoSet, seed: int) -> AesMamba:
    """The network to train: random, or with the encoder and heads of model folders.

    Of several, each of which went on from another, the mean: it ranks better than any of them.
    Heads of folders that read no deviations begin to, at nothing.
    """
    torch.manual_seed(seed)
    model = AesMamba(preset("nano", variant="F"))
    start_at_means(model, photos)
    if init:
        trained = [load_model(folder, with_text=False) for folder in init]
        for part in ("encoder", "heads"):
            own, states = getattr(model, part), [getattr(one, part).state_dict() for one in trained]
            own.load_state_dict(own.state_dict() | mean_state(states))
    return model


def choose_size(
    model: AesMamba, validation: Callable[[int], PhotoSet], sizes: tuple[int, ...]
) -> int:
    """The side at which the aesthetic score ranks the validation photos best.

    Random crops magnify in training, so the best size for whole photos is often a larger one.

    Args:
        validation: the photos, squashed to a side.
    """

    def ranking(size: int) -> float:
        photos = validation(size)
        return srcc(predict(model, photos, size)[:, 0], photos.scores[:, 0])

    return max(sizes, key=ranking)


def assemble(scored: AesMamba, size: int, seed: int) -> AesMamba:
    """The shipped model: what was trained, with text and fusion that add nothing yet.

    Its weights are rounded as they will be stored, so that all figures are of what ships.
    """
    torch.manual_seed(seed)
    config = replace(preset("nano"), image_size=size, license=LICENSE)
    model = AesMamba(config, tokenizer=TextTokenizer.compact())
    model.encoder.load_state_dict(scored.encoder.state_dict())
    model.heads.load_state_dict(scored.heads.state_dict())
    return model.to(STORED).float().eval()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, caches and metrics")
    parser.add_argument("--save", type=Path, required=True, help="the finished model folder")
    parser.add_argument(
        "--init", type=Path, nargs="+", default=[], help="model folders whose mean to go on from"
    )
    stages = "SIZE:EPOCHS:RATE[:SHARE of blended photos[:SHARE of ruined ones]]"
    parser.add_argument(
        "--teachers", type=Stage.parse, nargs="+", default=TEACHERS, help=f"{stages}; weights' mean"
    )
    parser.add_argument(
        "--stages",
        type=Stage.parse,
        nargs="*",
        default=STAGES,
        help=f"{stages}; none: the attributes alone",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[160, 176, 192, 208, 224])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bfloat16", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = _options()
    keep_freed_memory()
    if options.bfloat16 and (gain := bfloat16_gain()) < 1:
        print(
            f"this processor multiplies in bfloat16 at {gain:.2f} of the rate of float32: "
            "training is faster without --bfloat16",
            file=sys.stderr,
        )
    cache, seed = options.out / "cache", options.seed
    photos, validation = para("train", cache), held_out(para("rest", cache))
    model = student(options.init, photos, seed)
    if options.stages:
        judge = fine_tune(photos, validation, options.out, options.teachers, seed)
        teacher = panel(judge, bfloat16=options.bfloat16)
    projections: dict[str, torch.Tensor] | None = None
    for number, stage in enumerate(options.stages):
        arguments = stage.of(_STUDENT, seed + number, bfloat16=options.bfloat16)
        folder = options.out / f"giaa-{number}"
        trainer = Trainer(model, photos, validation, folder, arguments, teacher)
        if trainer.step == 0 and projections is not None:
            trainer.projections.load_state_dict(projections)
        elif trainer.step == 0 and options.init:
            trainer.fit_projections()  # random ones would first pull at the encoder
        trainer.run()
        projections = trainer.projections.state_dict()
    size = choose_size(
        model, lambda side: held_out(para("rest", cache, side)), tuple(options.sizes)
    )
    labelled = para("rest", cache, size)
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
        refining = refining_set(model, photos, size, seed)
    refine_heads(model, refining)
    calibrate(model, labelled, size)
    adapt_heads(model, labelled, size, seed)
    test = para("test", cache, size)
    finished = assemble(model, size, seed)
    save_model(finished, options.save, dtype=STORED)
    save_reference(options.save, describe(finished, test, size))


if __name__ == "__main__":
    main()
