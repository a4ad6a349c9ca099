"""Image networks of transformers as encoders: features, maps, folders."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModel

from aesmamba_sdk.errors import CheckpointError, PersonalizeError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.folder import load_model, save_model
from aesmamba_sdk.model.transformers_image import (
    TransformersImage,
    describe,
    from_transformers,
    input_statistics,
)
from aesmamba_sdk.personalize.network import PersonalNetwork
from tests import toy

SMALL = {
    "resnet": {
        "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic",
    },
    "convnext": {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
    "vit": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "patch_size": 8, "image_size": 32,
    },
}  # fmt: skip


def small(kind: str) -> TransformersImage:
    torch.manual_seed(0)
    return TransformersImage(describe(AutoConfig.for_model(kind, **SMALL[kind]))).eval()


@pytest.mark.parametrize("kind", SMALL)
@torch.no_grad()
def test_the_feature_is_what_the_network_pools(kind):
    encoder, images = small(kind), torch.randn(2, 3, 32, 32)
    output = encoder.network(images)
    expected = output.last_hidden_state
    if kind == "vit":
        expected = expected[:, 1:].mean(1)
    elif kind == "swin":
        expected = expected.mean(1)
    else:
        expected = expected.mean((2, 3))
    if kind == "convnext":
        expected = encoder.network.layernorm(expected)
    token = encoder(images)
    assert token.shape == (2, 1, 1, encoder.config.features)
    torch.testing.assert_close(token[:, 0, 0], expected)


@pytest.mark.parametrize(
    ("kind", "strides"),
    [("resnet", [4, 8]), ("convnext", [4, 8]), ("swin", [4, 8]), ("vit", [8])],
)
@torch.no_grad()
def test_maps_are_found_by_their_stride(kind, strides):
    encoder, images = small(kind), torch.randn(2, 3, 64, 64)
    token, maps = encoder.maps(images)
    assert sorted(maps) == strides
    for stride, x in maps.items():
        assert x.shape[:3] == (2, 64 // stride, 64 // stride)
    torch.testing.assert_close(token, encoder(images))


@pytest.mark.parametrize("kind", SMALL)
def test_a_model_folder_keeps_the_network(kind, tmp_path):
    encoder = small(kind)
    config = dataclasses.replace(
        toy.CONFIG, name=kind, encoder=encoder.config, text=None, fusion_heads=2
    )
    model = AesMamba(config).eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == config
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images).scores, model(images).scores, rtol=0, atol=0)
    scores = Backbone(tmp_path, torch.device("cpu"))([toy.photo(0.5, 0)])
    assert scores.shape == (1, encoder.config.features)


def test_people_can_change_its_heads_or_all_of_it_but_no_last_stage():
    encoder = small("vit")
    config = dataclasses.replace(toy.CONFIG, encoder=encoder.config, fusion_heads=2)
    model = AesMamba(config, with_text=False)
    text, mask = torch.zeros(1, 3, encoder.config.features), torch.ones(1, 3)
    assert any(n.startswith("encoder.") for n in _adaptable(model, text, mask, "all"))
    assert not any(n.startswith("encoder.") for n in _adaptable(model, text, mask, "heads"))
    with pytest.raises(PersonalizeError, match="no last stage to reach: use heads or all"):
        _adaptable(model, text, mask, "stage")


def _adaptable(model, text, mask, reach) -> list[str]:
    return list(PersonalNetwork(model, text, mask, reach).adaptable())


def test_random_networks_of_a_kind_and_of_a_configuration(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "resnet"} | SMALL["resnet"]))
    assert from_transformers(str(file), image_size=32).config == small("resnet").config
    assert from_transformers("convnext", image_size=64).config.features == 768


def test_weights_of_a_folder_are_kept(tmp_path):
    torch.manual_seed(1)
    AutoModel.from_config(AutoConfig.for_model("vit", **SMALL["vit"])).save_pretrained(tmp_path)
    expected = AutoModel.from_pretrained(tmp_path).state_dict()
    encoder = from_transformers(str(tmp_path), image_size=32)
    for name, value in encoder.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_pixels_are_normalised_as_the_weights_were_trained(tmp_path):
    assert input_statistics("resnet") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert input_statistics(str(tmp_path))[0] == (0.485, 0.456, 0.406)
    half = [0.5, 0.5, 0.5]
    record = {"image_mean": half, "image_std": half}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    assert input_statistics(str(tmp_path)) == (tuple(half), tuple(half))


@pytest.mark.parametrize("source", ["resnot", "bert"])
def test_what_is_no_image_network_is_told(source):
    with pytest.raises(CheckpointError, match=source):
        from_transformers(source, image_size=32)


def test_vmamba_models_import_neither_transformers_nor_an_http_client(toy_model):
    program = (
        "import sys; from pathlib import Path; from aesmamba_sdk.model.folder import load_model; "
        f"load_model(Path({str(toy_model)!r}), with_text=False); "
        "sys.exit(not {'transformers', 'huggingface_hub'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
