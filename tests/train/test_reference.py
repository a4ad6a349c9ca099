"""The photos that percentiles are ranks among, described anew."""

from __future__ import annotations

import numpy as np
import torch

from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.photos import load_photo
from aesmamba_sdk.train.reference import main
from tests import toy
from tests.train import made_runs


def test_a_folder_without_reference_photos_gets_them(tmp_path):
    values = made_runs.colours(tmp_path / "photos", 5)
    rows = [(f"{i}.png", 1 + 4 * value[0]) for i, value in enumerate(values)]
    made_runs.table(tmp_path / "photos", ("file", "score"), rows)
    model = toy.save_toy(tmp_path / "toy", reference=False)
    main(["--data", f"folder={tmp_path / 'photos'}", "--split", "train", "--model", str(model)])
    opened = Backbone(model, torch.device("cpu"))
    assert opened.reference.shape == (5, opened.config.encoder.described)
    photo = tmp_path / "photos" / "3.png"
    np.testing.assert_allclose(
        opened([load_photo(photo).image])[0], opened.reference[3], rtol=0.02, atol=0.02
    )
