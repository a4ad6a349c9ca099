"""The training loop: what every network here shares, whatever its losses are.

Exactly resumable: a killed run goes on from its last checkpoint as if nothing had happened,
because each step's samples and crops depend on the seed and the step alone. Started again with
other ``epochs`` or another ``batch_size``, it follows the rest of that schedule, from the epoch in
which it was stopped, and ``metrics.jsonl`` says so.
"""

from __future__ import annotations

import math
import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import SetupError, TrainingError
from aesmamba_sdk.train.correlations import correlations
from aesmamba_sdk.train.data import PhotoSet, Rows
from aesmamba_sdk.train.devices import Devices
from aesmamba_sdk.train.journal import Journal
from aesmamba_sdk.train.optimizers import OptimizerName, Optimizers
from aesmamba_sdk.train.views import Views, augment, blend, ruin, soften

CHECKPOINT_FILE = "checkpoint.pt"
_LARGEST_SEED = 2**43  # a million times as much, and every step and process, fits 64 bits
_SHARES = ("warmup", "ruined", "blended", "softened", "photo_alone", "ema")
_COUNTED = ("batch_size", "image_size", "log_steps")


@dataclass(frozen=True)
class TrainingArguments:
    """How to train.

    Attributes:
        epochs: passes over the photos.
        batch_size: photos per step.
        learning_rate: peak of the schedule.
        warmup: share of the steps in which the rate rises linearly; then a cosine down to
            ``final_rate``.
        final_rate: last learning rate.
        weight_decay: of matrices and convolutions; norms, biases, A and D have none.
        optimizer: ``adamw``, or ``muon`` for the matrices of the encoder's blocks.
        image_size: side of the crops.
        distillation: weight of the teacher's maps; 0 for none.
        features: weight of the teacher's features of the whole crop; 0 for none.
        soft_targets: weight of the error to the teacher's scores of the same crop; 0 for none.
        categories: how scale categories are learned beside the scores: ``balanced`` cross-entropy
            (Eq. 5), ``plain``, or ``none``: Model-C, -B and -A of section 4.5.1.
        ruined: share of the photos that are ruined, their scores lowered; not with votes.
        blended: share of the photos that are cropped hard and laid over one another, and learned
            from the teacher alone; not with votes or texts.
        agreement: weight of the difference between scores of a photo and of its mirror image; where
            it is not 0, a quarter of each batch are mirror images of others in it.
        softened: how far photos are at most moved towards a slight blur, 0 to 1; a teacher sees
            them clear.
        photo_alone: share of the examples with a text that are learned without it, so that a
            photo alone still gets a score.
        ema: decay of the averaged weights that are validated and saved; 0 for none.
        clip: largest gradient norm; 0 for no limit.
        bfloat16: multiply matrices in bfloat16 (weights, scan and losses stay float32).
        seed: of everything random.
        checkpoint_minutes: time between checkpoints.
        log_steps: steps between lines in ``metrics.jsonl``.
        validation_steps: steps between validations; 0 for one an epoch.
        keep_best: end with the averaged weights that ranked the validation photos best, rather
            than with the last; with these, too, where there is nothing to rank.

    Raises:
        SetupError: a number is infinite, none or negative, a share is above 1, there is nothing of
            what is counted, or the seed is too large.
    """

    epochs: float = 6.0
    batch_size: int = 64
    learning_rate: float = 5e-4
    warmup: float = 0.05
    final_rate: float = 1e-6
    weight_decay: float = 0.05
    optimizer: OptimizerName = "adamw"
    image_size: int = 128
    distillation: float = 0.0
    features: float = 0.0
    soft_targets: float = 0.0
    categories: Literal["balanced", "plain", "none"] = "balanced"
    ruined: float = 0.0
    blended: float = 0.0
    agreement: float = 0.0
    softened: float = 0.0
    photo_alone: float = 0.0
    ema: float = 0.999
    clip: float = 5.0
    bfloat16: bool = False
    seed: int = 42
    checkpoint_minutes: float = 4.0
    log_steps: int = 20
    validation_steps: int = 0
    keep_best: bool = False

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str) and (wanted := _wanted(name, value)):
                raise SetupError(f"{name.replace('_', ' ')} is {value}: choose {wanted}")


def _wanted(name: str, value: float) -> str | None:
    """What the number of an argument should be instead; ``None`` of one that will do."""
    if not math.isfinite(value):
        return "a finite number"
    if name == "seed":
        return None if 0 <= value <= _LARGEST_SEED else f"one of 0 to {_LARGEST_SEED}"
    if name in _SHARES:
        return None if 0 <= value <= 1 else "a share of 0 to 1"
    least = int(name in _COUNTED)
    return None if value >= least else f"at least {least}"


class Loop(ABC):
    """Trains a network on ``photos`` and keeps its state in ``folder``.

    Args:
        model: trained in place; its averaged weights are what is validated and kept.
        photos: the training set; NaN scores are not learned from.
        validation: never trained on; decides nothing but what is reported, and which weights are
            kept.
        folder: ``checkpoint.pt`` and ``metrics.jsonl`` live here.
        extra: trained beside the model and not kept.
        devices: where to compute; by default on the CPU.
        journal: where to write; by default ``metrics.jsonl`` alone.

    Raises:
        SetupError: there are fewer photos than a batch has, a batch cannot be shared equally, or
            the folder's checkpoint is of another model or optimizer, or damaged.
    """

    def __init__(
        self,
        model: nn.Module,
        photos: PhotoSet,
        validation: PhotoSet,
        folder: Path,
        arguments: TrainingArguments,
        extra: nn.Module | None = None,
        *,
        devices: Devices | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.devices = devices or Devices(torch.device("cpu"))
        self._extra = (extra or nn.Module()).to(self.devices.device)
        self._trained, self.photos, self.validation = model, photos, validation
        self._trained.to(self.devices.device)
        self.folder, self.arguments = folder, arguments
        self.steps_per_epoch = len(photos) // arguments.batch_size
        if not self.steps_per_epoch:
            raise SetupError(
                f"{len(photos)} training examples do not fill a batch of {arguments.batch_size}: "
                "choose a smaller one"
            )
        if arguments.batch_size % self.devices.world:
            raise SetupError(
                f"a batch of {arguments.batch_size} cannot be shared equally by "
                f"{self.devices.world} processes"
            )
        self.steps = max(1, round(arguments.epochs * self.steps_per_epoch))
        self.step = 0
        self.averaged = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.best: dict[str, Any] | None = None
        self._order: tuple[int, Rows] | None = None
        self.optimizer = Optimizers(
            [model, self._extra],
            arguments.optimizer,
            arguments.learning_rate,
            arguments.weight_decay,
        )
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = journal or Journal(folder)
        self._resume()

    @abstractmethod
    def _losses(self, views: Views, rows: Rows) -> dict[str, Tensor]:
        """Every part of the loss, and their weighted sum as ``loss``.

        Args:
            views: crops of the batch.
            rows: (batch,) of the examples in ``photos``.
        """

    @abstractmethod
    def _predict(self) -> Tensor:
        """Scores of the validation photos by the current weights, (photos, attributes)."""

    @abstractmethod
    def _attributes(self) -> tuple[str, ...]:
        """Names of the columns of ``photos.scores``."""

    def run(self, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Train to the end; the model then holds the averaged weights, the last or the best.

        Args:
            progress: is told ``"training"``, the steps done and all steps.

        Raises:
            TrainingError: the loss is no longer a number; the last checkpoint is from before.
        """
        saved = time.monotonic()
        every = self.arguments.validation_steps or self.steps_per_epoch
        while self.step < self.steps:
            started = time.monotonic()
            losses = self._train_step()
            self.step += 1
            if self.step % self.arguments.log_steps == 0:
                rate = self.arguments.batch_size / (time.monotonic() - started)
                self._log(losses | {"photos_per_second": rate})
            if self.step % every == 0 or self.step == self.steps:
                report = self.validate()
                self._log({f"validation_{k}": v for k, v in report.items()})
                self._remember(report)
            if time.monotonic() - saved > self.arguments.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
            if progress is not None:
                progress("training", self.step, self.steps)
        self._save()
        self._trained.load_state_dict(self.best["model"] if self.best else self.averaged)

    def validate(self) -> dict[str, float]:
        """SRCC and PLCC per labelled attribute of the averaged weights on the validation set."""
        with self._averaged_weights():
            scores = self._predict()
        return correlations(scores, self.validation, self._attributes())

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """For the block, the model has its averaged weights."""
        current = {k: v.detach().clone() for k, v in self._trained.state_dict().items()}
        self._trained.load_state_dict(self.averaged)
        yield
        self._trained.load_state_dict(current)

    def _remember(self, report: Mapping[str, float]) -> None:
        """Keep the averaged weights if no earlier ones ranked the validation photos better."""
        ranks = [value for name, value in report.items() if name.startswith("srcc_")]
        if not self.arguments.keep_best or not ranks:
            return
        score = sum(ranks) / len(ranks)
        if self.best is None or score > self.best["score"]:
            weights = {name: value.clone() for name, value in self.averaged.items()}
            self.best = {"step": self.step, "score": score, "model": weights}

    def _train_step(self) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        views, rows = self._batch(self.step)
        torch.manual_seed(self.arguments.seed + self.step)  # drop path, dropout
        with torch.autocast(
            self.devices.device.type, torch.bfloat16, enabled=self.arguments.bfloat16
        ):
            losses = self._losses(views, rows)
        loss = losses["loss"]
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of step {self.step} is {loss.item()}: go on from {self.folder} with a "
                "lower learning rate, or without bfloat16"
            )
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.devices.average(parameters)
        if self.arguments.clip:
            nn.utils.clip_grad_norm_(parameters, self.arguments.clip)
        self.optimizer.step()
        self._average()
        return {name: value.item() for name, value in losses.items()}

    def _batch(self, step: int) -> tuple[Views, Rows]:
        """What a step sees, and of which examples."""
        rows, generator = self._samples(step)
        pixels, scores = self.photos.batch(rows)
        pixels, scores = pixels.to(self.devices.device), scores.to(self.devices.device)
        return self._views(pixels, scores, generator), rows

    def _views(self, pixels: Tensor, scores: Tensor, generator: torch.Generator) -> Views:
        """Crops of the photos, some of them ruined or blended, and what is known of them."""
        a = self.arguments
        views = ruin(augment(pixels, a.image_size, generator), scores, a.ruined, generator)
        return soften(blend(pixels, views, a.blended, generator), a.softened, generator)

    def _average(self) -> None:
        # Early on the average follows closely, so that it is useful before 1/(1-decay) steps.
        decay = min(self.arguments.ema, (1 + self.step) / (10 + self.step))
        for name, value in self._trained.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)
            else:  # counters of batch norms
                self.averaged[name].copy_(value)

    def _learning_rate(self) -> float:
        a = self.arguments
        warm = max(1, round(a.warmup * self.steps))
        if self.step < warm:
            return a.learning_rate * (self.step + 1) / warm
        progress = (self.step - warm) / max(1, self.steps - warm)
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return a.final_rate + (a.learning_rate - a.final_rate) * cosine

    def _samples(self, step: int) -> tuple[Rows, torch.Generator]:
        """This process's examples of a step, and the randomness of their crops."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            shuffled = np.random.default_rng((self.arguments.seed, epoch))
            self._order = epoch, shuffled.permutation(len(self.photos))
        order = self._order[1]
        size, rank = self.arguments.batch_size, self.devices.rank
        seed = self.arguments.seed * 1_000_003 + step + rank * 1_000_000_007
        rows = self.devices.share(order[batch * size : (batch + 1) * size])
        return rows, torch.Generator().manual_seed(seed)

    def _log(self, values: Mapping[str, object]) -> None:
        if self.devices.first:
            self.journal.write(self.step, self.step / self.steps_per_epoch, values)

    def _save(self) -> None:
        if not self.devices.first:
            return
        partial = self.folder / "checkpoint.partial"
        torch.save(
            {
                "step": self.step,
                "arguments": asdict(self.arguments),
                "model": self._trained.state_dict(),
                "averaged": self.averaged,
                "best": self.best,
                "extra": self._extra.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(self.folder / CHECKPOINT_FILE)

    def _resume(self) -> None:
        file = self.folder / CHECKPOINT_FILE
        if not file.exists():
            return
        state = _read_checkpoint(file, self.devices.device)
        try:
            self._trained.load_state_dict(state["model"])
            self._extra.load_state_dict(state["extra"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise SetupError(
                f"{file} is of another model or optimizer, and cannot go on with this one: choose "
                "another folder, or delete it"
            ) from error
        # Batches of another size make other steps; what counts is how far the run has come.
        before = max(1, len(self.photos) // state["arguments"]["batch_size"])
        self.step = round(state["step"] * self.steps_per_epoch / before)
        self.averaged = state["averaged"]
        self.best = state.get("best")  # not in checkpoints of earlier versions
        if state["arguments"] != asdict(self.arguments):  # e.g. a shorter schedule than planned
            self._log({"arguments": asdict(self.arguments)})


def _read_checkpoint(file: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True, map_location=device)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise SetupError(
            f"{file} is damaged or cut short: delete it to begin anew, or choose another folder"
        ) from error
    return state
