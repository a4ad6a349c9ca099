"""The composition: parameter counts of the paper, the rôle of text, and model folders."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import ENCODERS, AesMambaConfig, TextConfig, preset
from aesmamba_sdk.model.folder import load_model, read_weights
from aesmamba_sdk.model.heads import AttributeHead, FeatureAdapter, MultitaskBalancedAdaptation
from aesmamba_sdk.model.text import TextEncoder
from aesmamba_sdk.model.vmamba import VMamba
from aesmamba_sdk.scores import Scale
from tests.toy import CONFIG

TINY = dataclasses.replace(CONFIG, attributes=("aesthetic", "quality"), head_hidden=8)


def toy(config: AesMambaConfig = TINY) -> AesMamba:
    torch.manual_seed(0)
    return AesMamba(config).eval()


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("tiny", 29_480_064),
        ("tiny-s2", 29_936_832),
        ("small", 48_243_840),
        ("small-s2", 49_378_752),
        ("base", 85_589_504),
        ("base-s2", 87_532_800),
        ("tiny-v0", 22_124_448),
        ("small-v0", 43_648_416),
        ("base-v0", 75_229_056),
    ],
)
def test_encoders_have_the_published_numbers_of_parameters(name, count):
    with torch.device("meta"):
        assert parameters(VMamba(ENCODERS[name])) == count


def test_nano_has_about_six_million_parameters():
    with torch.device("meta"):
        assert 5e6 < parameters(VMamba(ENCODERS["nano"])) < 6.5e6


@pytest.mark.parametrize(("variant", "count"), [("V", 22_815_333), ("F", 28_342_413)])
def test_variants_of_the_paper_have_the_public_codes_size(variant, count):
    with torch.device("meta"):
        assert parameters(AesMamba(preset("tiny-v0", variant=variant))) == count


def test_bert_base_and_fusion_have_the_papers_size():
    with torch.device("meta"):
        pooled = dataclasses.replace(TextConfig.bert_base(), pooler=True)
        assert parameters(TextEncoder(pooled, out_features=768)) == 109_482_240
        model = AesMamba(preset("tiny-v0", variant="P"), with_text=False)
    assert model.fusion is not None
    assert parameters(model.fusion) == 7_087_104


def test_untrained_fusion_leaves_every_score_unchanged():
    model = toy()
    images = torch.randn(3, 3, 32, 48)
    ids = torch.randint(1, 40, (3, 7))
    with torch.inference_mode():
        alone = model(images).scores
        with_text = model(images, ids, torch.ones_like(ids)).scores
    assert alone.shape == (3, 2)
    torch.testing.assert_close(with_text, alone, rtol=0, atol=0)


def test_padding_has_no_say_once_fusion_has_learned():
    model = toy()
    assert model.fusion is not None
    torch.nn.init.normal_(model.fusion.to_out.weight)
    images = torch.randn(1, 3, 32, 32)
    ids = torch.randint(1, 40, (1, 5))
    padded = torch.cat([ids, torch.zeros(1, 4, dtype=torch.long)], 1)
    mask = (torch.arange(9) < 5).long()[None]
    with torch.inference_mode():
        short = model(images, ids, torch.ones_like(ids)).scores
        torch.testing.assert_close(model(images, padded, mask).scores, short)
        assert not torch.allclose(short, model(images).scores)


def test_a_distribution_head_scores_by_its_expected_value():
    mba = MultitaskBalancedAdaptation(8, ("aesthetic",), hidden=4, bins=10, scale=Scale(1, 10))
    out = mba(torch.randn(5, 8))
    assert out.distributions is not None
    assert out.distributions.shape == (5, 1, 10)
    torch.testing.assert_close(out.scores, (out.distributions * torch.arange(1.0, 11)).sum(-1))


@pytest.mark.parametrize("bins", [1, 10])
def test_named_heads_alone_score_as_all_of_them_do(bins):
    names = ("aesthetic", "quality", "color")
    torch.manual_seed(0)
    mba = MultitaskBalancedAdaptation(
        8, names, hidden=4, bins=bins, scale_classes=4, scale=Scale(1, 5)
    )
    f = torch.randn(5, 8)
    torch.testing.assert_close(mba.scores(f, ["color", "aesthetic"]), mba(f).scores[:, [2, 0]])


def test_the_adapter_is_residual():
    adapter = FeatureAdapter(8)
    torch.nn.init.zeros_(adapter.up.weight)
    f = torch.randn(2, 8)
    torch.testing.assert_close(adapter(f), f)
    assert AttributeHead(8, hidden=4, bins=1, scale_classes=0)(f)[1] is None


def test_deviations_say_nothing_before_they_are_learned_and_flat_photos_do_not_hurt():
    """The root of no variance has no gradient."""
    model, alone = toy(dataclasses.replace(TINY, deviations=True)), toy()
    alone.load_state_dict(model.state_dict(), strict=False)
    images = torch.cat([torch.randn(2, 3, 32, 32), torch.zeros(1, 3, 32, 32)])
    scores = model(images).scores
    torch.testing.assert_close(scores, alone(images).scores)
    for head in model.heads.heads.values():
        torch.nn.init.normal_(head.variation.weight)
    model(images).scores.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert not torch.allclose(model(images).scores, scores)


@pytest.mark.parametrize("deviations", [False, True])
def test_a_whole_model_may_be_in_half_precision(deviations):
    model = toy(dataclasses.replace(TINY, deviations=deviations))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = model(images).scores
        scores = model.bfloat16()(images.bfloat16()).scores
    assert scores.dtype == torch.bfloat16
    torch.testing.assert_close(scores.float(), expected, rtol=0, atol=0.02)


def test_a_saved_model_loads_and_scores_the_same(tmp_path):
    model = toy()
    model.save_pretrained(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    loaded = AesMamba.from_pretrained(tmp_path)
    assert loaded.config == model.config
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images).scores, model(images).scores, rtol=0, atol=0)
        blind = load_model(tmp_path, with_text=False)
        torch.testing.assert_close(blind(images).scores, model(images).scores, rtol=0, atol=0)
    assert blind.text is None
    with pytest.raises(CheckpointError, match="without a text encoder"):
        blind(images, torch.ones(2, 3).long(), torch.ones(2, 3))


def test_large_models_are_saved_in_shards_that_load(tmp_path, monkeypatch):
    monkeypatch.setattr("aesmamba_sdk.model.folder.SHARD_SIZE", "20KB")
    model = toy()
    model.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert read_weights(tmp_path).keys() == model.state_dict().keys()


def test_a_folder_that_does_not_fit_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="not a model folder"):
        load_model(tmp_path)
    toy().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"head_hidden": 9}))
    with pytest.raises(CheckpointError, match=r"heads\.heads\.aesthetic\.score"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"colour": 1}))
    with pytest.raises(CheckpointError, match="colour"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": "32"},
        {"image_size": 32.5},
        {"attributes": "aesthetic"},
        {"attributes": None},
        {"mean": [0.5, 0.5]},
        {"reads": "minds"},
        {"encoder": "nano"},
        {"encoder": {"stem": "leaf"}},
        {"text": 3},
        {"text": {"hidden_size": "16"}},
    ],
)
def test_values_of_the_wrong_kind_in_a_configuration_are_told(changes):
    record = CONFIG.to_dict()
    for name, value in changes.items():
        record[name] = record[name] | value if isinstance(value, dict) else value
    with pytest.raises(CheckpointError, match=r"config\.json is not valid"):
        AesMambaConfig.from_dict(record)


def test_every_preset_is_read_as_it_was_written():
    for name in ENCODERS:
        for variant in "VFMP":
            config = preset(name, variant=variant)
            assert AesMambaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("index", ["{}", '{"weight_map": null}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_names_no_files_is_told(tmp_path, index):
    toy().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"index\.json does not say which files"):
        load_model(tmp_path)


def test_any_bert_folder_serves_as_text_encoder(tmp_path):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    bert = BertModel(BertConfig(vocab_size=50, intermediate_size=64, **sizes)).eval()
    bert.save_pretrained(tmp_path)
    ids, mask = torch.tensor([[2, 7, 9, 3, 0]]), torch.tensor([[1, 1, 1, 1, 0]])
    encoder = TextEncoder.from_bert(tmp_path)
    with torch.no_grad():
        expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        assert torch.equal(encoder(ids, mask), expected)
    assert encoder.config.vocab_size == 50
    assert TextEncoder.from_bert(tmp_path, out_features=24)(ids, mask).shape == (1, 5, 24)


def test_a_folder_without_a_bert_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no BERT in"):
        TextEncoder.from_bert(tmp_path)


def test_weights_stored_in_half_precision_load_as_float32(tmp_path):
    from aesmamba_sdk.model.folder import save_model

    model = toy()
    save_model(model, tmp_path, dtype=torch.float16)
    assert {value.dtype for value in read_weights(tmp_path).values()} == {torch.float16}
    loaded = load_model(tmp_path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float()), name
