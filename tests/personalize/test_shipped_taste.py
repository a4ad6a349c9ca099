"""The prior over people that ships belongs to the weights that ship."""

from __future__ import annotations

import numpy as np
import torch

from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.paths import pretrained_folder
from aesmamba_sdk.personalize.taste import TASTE_FILE, prior_of


def test_nanos_prior_was_learned_with_nano():
    folder = pretrained_folder() / "nano"
    backbone = Backbone(folder, torch.device("cpu"))
    prior, notes = prior_of(
        folder, backbone.hash, backbone.reference, lambda x: backbone.scores(x)[:, 0]
    )
    assert (notes, prior.learned) == ([], True), "run python -m aesmamba_sdk.train.taste again"
    assert (folder / TASTE_FILE).stat().st_size < 1_000_000
    design = prior.design(backbone.reference, backbone.scores(backbone.reference)[:, 0])
    assert np.isfinite(design).all()
