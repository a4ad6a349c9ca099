"""LoRA: small low-rank updates of a frozen network's linear layers, through peft.

Importing this module costs seconds (peft); scoring never does.
"""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.personalize.finetune import Training
from aesmamba_sdk.personalize.folder import PersonalRecord, save_text
from aesmamba_sdk.personalize.methods import Reach
from aesmamba_sdk.personalize.network import PersonalNetwork

_RANK, _ALPHA = 8, 16.0
"""r of the updates; they are scaled by alpha / r."""


class LoraAdapter:
    """A copy of the shared model in which updates alone are free.

    Args:
        backbone: the shared model.
        record: whose, how far the updates reach, and the seed.

    Attributes:
        core: what gives the inputs.
        network: what is trained.
        training: how.
    """

    def __init__(self, backbone: Backbone, record: PersonalRecord) -> None:
        self.core = PersonalNetwork(backbone.model, *backbone.read(record.prompt), record.reach)
        torch.manual_seed(record.seed)
        layers = sorted(self.core.adaptable())
        config = LoraConfig(r=_RANK, lora_alpha=_ALPHA, target_modules=layers)
        self.core.to(backbone.device)
        self.network: PeftModel = get_peft_model(self.core, config)
        self.training = _training(record.reach, record.seed)

    def save(self, folder: Path) -> None:
        """adapter_config.json and adapter_model.safetensors, as peft does; and the prompt."""
        self.network.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
        save_text(folder, self.core.text, self.core.mask)


def _training(reach: Reach, seed: int) -> Training:
    if reach == "heads":
        return Training(seed=seed)
    # Each step costs passes through the encoder.
    return Training(steps=24, check_steps=4, folds=3, batch_size=16, seed=seed)
