"""Models that read captions are evaluated with them."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from aesmamba_sdk import AesMamba
from aesmamba_sdk.evaluate.data import score_dataset
from aesmamba_sdk.model.folder import load_model, save_model
from aesmamba_sdk.train.datasets import read_dataset
from tests import toy


@pytest.fixture
def captioned(toy_model, tmp_path):
    """The toy, made to read captions and to heed them."""
    folder = shutil.copytree(toy_model, tmp_path / "captions")
    config = json.loads((folder / "config.json").read_text()) | {"reads": "caption"}
    (folder / "config.json").write_text(json.dumps(config))
    model = load_model(folder)
    torch.manual_seed(0)
    with torch.no_grad():
        torch.nn.init.normal_(model.fusion.to_out.weight)
    save_model(model, folder)
    return folder


def test_every_photo_is_scored_with_its_own_caption_if_it_has_one(captioned, tmp_path):
    photos = toy.write_photos(tmp_path / "photos", 3)
    texts = ("I love this light", "", "(dull)")
    rows = [f"{p.name},3,{text},test" for p, text in zip(photos, texts, strict=True)]
    (tmp_path / "photos/labels.csv").write_text("\n".join(["image,score,text,split", *rows]))
    dataset = read_dataset("folder", tmp_path / "photos", split="test")
    with AesMamba(captioned, device="cpu") as sdk:
        scored = score_dataset(sdk.backbone, dataset, lambda *_: None)
        expected = [sdk.score(p, text=t or None).value for p, t in zip(photos, texts, strict=True)]
        alone = [sdk.score(p).value for p in photos]
    assert scored.predicted[:, 0] == pytest.approx(expected, abs=1e-5)
    assert alone[1] == pytest.approx(expected[1])
    assert alone[0] != pytest.approx(expected[0], abs=0.01)
