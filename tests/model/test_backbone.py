"""The shared model at scoring time: the same numbers and fingerprints with torch and without."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import Backbone, save_content, save_reference
from aesmamba_sdk.model.folder import load_model, save_model
from aesmamba_sdk.model.generic import GenericHeads, gelu
from aesmamba_sdk.model.identity import as_weights, backbone_hash, encoder_hash
from aesmamba_sdk.model.preprocess import prepare
from tests import toy

CPU = torch.device("cpu")


def test_gelu_is_torchs():
    x = np.r_[np.linspace(-9, 9, 5001), 0.0, -1e-6, 1e-6, -80, 80].astype(np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(x).double())
    np.testing.assert_allclose(gelu(x), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("bins", [1, 7])
@pytest.mark.parametrize("deviations", [False, True])
def test_heads_in_numpy_say_what_those_in_torch_do(bins, deviations):
    torch.manual_seed(1)
    config = dataclasses.replace(toy.CONFIG, bins=bins, deviations=deviations)
    network = AesMamba(config, tokenizer=toy.tokenizer()).eval()
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.normal_(0, 0.5)
    f = 2 * torch.randn(64, config.head_inputs)
    heads = GenericHeads(as_weights(network.state_dict()), config)
    with torch.no_grad():
        expected = network.heads(f).scores
    np.testing.assert_allclose(heads(f.numpy(), config.attributes), expected, rtol=1e-5, atol=2e-5)
    one = heads(f.numpy(), ("color",))
    np.testing.assert_allclose(one[:, 0], expected[:, 1], rtol=1e-5, atol=2e-5)


def test_a_head_without_weights_is_named():
    weights = as_weights(toy.model().state_dict())
    del weights["heads.heads.color.score.2.bias"]
    with pytest.raises(CheckpointError, match=r"missing heads\.heads\.color\.score\.2\.bias"):
        GenericHeads(weights, toy.CONFIG)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_fingerprints_are_those_of_the_network_however_it_is_stored(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("aesmamba_sdk.model.folder.SHARD_SIZE", "20KB")
    save_model(toy.model(), tmp_path, dtype=dtype)
    opened = Backbone(tmp_path, CPU)
    loaded = load_model(tmp_path)
    weights = as_weights(loaded.state_dict())
    assert opened.hash == backbone_hash(weights, loaded.config)
    assert opened.key == encoder_hash(weights, loaded.config)
    assert opened.id == f"toy@{opened.hash}"


def test_fingerprints_tell_what_they_are_of():
    weights = as_weights(toy.model().state_dict())
    config = toy.CONFIG
    hashes = backbone_hash(weights, config), encoder_hash(weights, config)

    def changed(weight=None, **settings):
        altered = weights if weight is None else weights | {weight: weights[weight] + 1}
        new = dataclasses.replace(config, **settings)
        return [
            f(altered, new) != old
            for f, old in zip((backbone_hash, encoder_hash), hashes, strict=True)
        ]

    assert changed("encoder.norm.weight") == [True, True]
    assert changed("heads.heads.color.score.2.bias") == [True, False]
    assert changed("fusion.fc1.bias") == [True, False]
    text = next(name for name in weights if name.startswith("text."))
    assert changed(text) == [False, False]
    assert changed(image_size=64) == [True, True]
    assert changed(brighter_left=True) == [True, True]
    assert changed(scale_classes=3) == [True, False]
    assert changed(name="renamed") == [False, False]


def test_the_network_is_built_once_a_photo_is_to_be_encoded(toy_model):
    asked = []

    def device():
        asked.append(1)
        return CPU

    opened = Backbone(toy_model, device)
    features = opened.reference
    assert opened.scores(features).shape == (50, 2)
    assert not asked
    assert opened([toy.photo(0.5, 0)]).shape == (1, 24 + 12)
    assert asked


def test_a_network_that_two_threads_ask_for_at_once_is_built_once(toy_model):
    """From Python 3.12 on, ``cached_property`` calls its function once for each of them."""
    backbone, building = Backbone(toy_model, torch.device("cpu")), vars(Backbone)["network"].func
    assert building(backbone) is building(backbone)


def test_a_folder_written_anew_under_an_open_model_changes_nothing(tmp_path):
    photos = [toy.photo(0.5, 0)]
    expected = Backbone(toy.save_toy(tmp_path), CPU)(photos)
    opened = Backbone(tmp_path, CPU)
    toy.save_toy(tmp_path, seed=1)
    np.testing.assert_array_equal(opened(photos), expected)
    assert opened.key == encoder_hash(as_weights(opened.model.state_dict()), opened.config)
    assert not np.array_equal(Backbone(tmp_path, CPU)(photos), expected)


@pytest.fixture
def reads_deviations(tmp_path) -> Backbone:
    return Backbone(toy.save_toy(tmp_path, config=toy.READS_DEVIATIONS), CPU)


def test_heads_read_f_v_alone_unless_they_are_to_read_deviations(toy_model, reads_deviations):
    alone, both = Backbone(toy_model, CPU), reads_deviations
    kept = both.reference
    other = kept.copy()
    other[:, 24:] = other[:, :23:-1]
    np.testing.assert_array_equal(alone.scores(other), alone.scores(kept))
    np.testing.assert_array_equal(alone.scores(kept[:, :24]), alone.scores(kept))
    assert (both.scores(other) != both.scores(kept)).any(1).mean() > 0.9


def test_what_is_kept_of_photos_is_scored_as_the_photos_are(reads_deviations):
    """By numpy from the cache, and with a text by torch, as by the whole network."""
    opened = reads_deviations
    images = [toy.photo(light, 0) for light in (0.2, 0.5, 0.8)]
    kept, text = opened(images), opened.read("My age is 30.")
    pixels = prepare(images, opened.config)
    with torch.inference_mode():
        whole = opened.model(pixels).scores
    np.testing.assert_allclose(opened.scores(kept), whole.clip(1, 5), rtol=0, atol=2e-5)
    # The toy's fusion adds nothing: deviations have to pass it by for this to hold.
    np.testing.assert_allclose(opened.scores(kept, text), whole.clip(1, 5), rtol=0, atol=2e-5)


def test_reference_photos_of_another_description_are_refused(tmp_path):
    toy.save_toy(tmp_path)
    save_reference(tmp_path, torch.ones(5, 24))
    with pytest.raises(CheckpointError, match=r"keeps 36 numbers a photo; .*train\.reference"):
        Backbone(tmp_path, CPU).reference  # noqa: B018


@pytest.mark.parametrize("held", [b"", {"other": (2, 36)}, {"features": (0, 36)}])
def test_reference_photos_that_cannot_be_read_are_told_with_what_to_do(tmp_path, held):
    opened = Backbone(toy.save_toy(tmp_path), CPU)
    file = tmp_path / "reference.safetensors"
    if isinstance(held, bytes):
        file.write_bytes(held)
    else:
        save_file({name: np.zeros(shape, np.float32) for name, shape in held.items()}, file)
    with pytest.raises(CheckpointError, match=r"reference\.safetensors .*or delete it"):
        _ = opened.reference


def test_content_axes_belong_to_one_encoder(tmp_path):
    toy.save_toy(tmp_path)
    assert Backbone(tmp_path, CPU).content_axes is None
    axes = np.arange(72, dtype=np.float32).reshape(36, 2)
    save_content(tmp_path, axes, Backbone(tmp_path, CPU).encoder_hash)
    np.testing.assert_array_equal(Backbone(tmp_path, CPU).content_axes, axes)
    np.testing.assert_array_equal(Backbone(tmp_path, CPU, "bfloat16").content_axes, axes)
    save_content(tmp_path, axes, "another")
    with pytest.raises(CheckpointError, match=r"another encoder.*train\.content --model") as caught:
        Backbone(tmp_path, CPU).content_axes  # noqa: B018
    assert f"--model {tmp_path}`" in str(caught.value)
    (tmp_path / "content.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Backbone(tmp_path, CPU).content_axes  # noqa: B018
