"""Full fine-tuning, as the paper personalizes: every weight from the encoders to the head is free.

It encodes each photo anew in every step: for a GPU.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.text import TextEncoder
from aesmamba_sdk.personalize.finetune import Training, logger
from aesmamba_sdk.personalize.folder import PersonalRecord, save_changes, save_text
from aesmamba_sdk.personalize.network import PersonalNetwork

_EPOCHS, _CHECK_EPOCHS, _BATCH = 50, 5, 50
"""Section 4.1.3 and the public code; the paper's batches of 10 and of 50 at 10 and at 100 shots
are one rule."""


class FullNetwork(PersonalNetwork):
    """Images to one person's raw scores by a copy of the whole model, which reads the prompt anew.

    Args:
        model: the shared model; copied, never changed.
        reader: the text encoder, which is trained as it is.
        ids, mask: (1, tokens) of the prompt.
    """

    ids: Tensor

    def __init__(self, model: AesMamba, reader: TextEncoder, ids: Tensor, mask: Tensor) -> None:
        with torch.no_grad():
            text = reader(ids, mask)
        super().__init__(model, text, mask, "all")
        self.reader = reader
        self.register_buffer("ids", ids, persistent=False)
        self.requires_grad_(True)

    def words(self) -> Tensor:
        text: Tensor = self.reader(self.ids, self.mask)
        return text


class FullFineTuning:
    """A copy of the shared model in which everything is free.

    Args:
        backbone: the shared model.
        record: whose, of how many ratings, and the seed.

    Attributes:
        core, network: what gives the inputs and what is trained, here the same.
        training: how.
    """

    def __init__(self, backbone: Backbone, record: PersonalRecord) -> None:
        torch.manual_seed(record.seed)
        self._backbone = backbone
        network = FullNetwork(backbone.model, *backbone.network.reader(record.prompt))
        self.core = self.network = network.to(backbone.device)
        epoch = math.ceil(record.shots / _BATCH)
        self.training = Training(
            steps=_EPOCHS * epoch,
            check_steps=_CHECK_EPOCHS * epoch,
            learning_rate=4e-5,
            last_learning_rate=1e-6,
            weight_decay=1e-3,
            epsilon=1e-6,
            batch_size=_BATCH,
            at_once=10,
            folds=3,
            mirror=True,
            seed=record.seed,
        )
        if backbone.device.type == "cpu":
            logger.warning(
                "full fine-tuning sends photos through the whole model up to %d times and back, "
                "which is slow on a CPU: minutes to hours, where a GPU takes seconds",
                self.training.folds * _EPOCHS * record.shots,
            )

    @torch.no_grad()
    def save(self, folder: Path) -> None:
        """What every weight gained, and the prompt as it is read now."""
        self.network.eval()
        shared = self._backbone.model.state_dict()
        gained = {
            name: value.cpu() - shared[name].cpu()
            for name, value in self.network.state_dict().items()
            if name in shared
        }
        save_changes(folder, {name: value for name, value in gained.items() if value.any()})
        save_text(folder, self.network.words(), self.network.mask)
