"""Models on the Hugging Face hub, by the mixin of its own library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.folder import download_model, load_model, save_model


class HubModel(ModelHubMixin):
    """A model with ``from_pretrained``, ``save_pretrained`` and ``push_to_hub``."""

    def __init__(self, model: AesMamba) -> None:
        self.model = model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self.model, save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> HubModel:
        folder = Path(model_id)
        return cls(load_model(folder if folder.is_dir() else download_model(model_id, **options)))
