"""Files of the public AesMamba code, rebuilt here under its key names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import AesMambaConfig, TextConfig, VMambaConfig
from aesmamba_sdk.model.importing import import_model
from aesmamba_sdk.model.public_aesmamba import load_public_aesmamba
from aesmamba_sdk.model.text import SPECIAL_TOKENS
from aesmamba_sdk.model.vmamba import VMamba

WIDTH = 24


def head(prefix: str, bins: int = 1, classes: int = 4) -> dict[str, Tensor]:
    shapes = {
        "adatper.0": (WIDTH // 4, WIDTH),
        "adatper.2": (WIDTH, WIDTH // 4),
        "heads.0": (8, WIDTH),
        "heads.2": (bins, 8),
        "classes_heads.0": (8, WIDTH),
        "classes_heads.2": (classes, 8),
    }
    state = {}
    for name, (rows, columns) in shapes.items():
        state[f"{prefix}.{name}.weight"] = torch.randn(rows, columns)
        state[f"{prefix}.{name}.bias"] = torch.randn(rows)
    return state


def vanilla_encoder(prefix: str) -> tuple[VMamba, dict[str, Tensor]]:
    model = VMamba(VMambaConfig.vanilla((1, 1), WIDTH // 2)).eval()
    public = {
        "stem": "patch_embed",
        "stages.": "layers.",
        "downsamples.0": "layers.0.downsample",
        ".0.norm": ".blocks.0.ln_1",
        ".0.ss2d.": ".blocks.0.self_attention.",
        ".conv.": ".conv2d.",
        "dt_proj_": "dt_projs_",
        "A_log": "A_logs",
    }
    state = {}
    for key, value in model.state_dict().items():
        name = key if not key.startswith("downsamples") else key.replace("downsamples.0", "@")
        for own, theirs in public.items():
            name = name.replace(own, theirs)
        name = name.replace("@", "layers.0.downsample")
        name = name.removesuffix(".D") + ".Ds" if name.endswith(".D") else name
        if name.endswith(("A_logs", "Ds")):
            value = value.flatten(0, 1)
        state[f"{prefix}.{name}"] = value
    return model, state


def test_a_public_v_file_scores_by_the_public_formula(tmp_path):
    encoder, state = vanilla_encoder("img_model")
    state |= head("pred_head.aesthetic_head")
    torch.save(state, tmp_path / "para.pth")
    model = load_public_aesmamba(tmp_path / "para.pth", name="para")
    images = torch.randn(2, 3, 32, 32)
    w = {k.removeprefix("pred_head.aesthetic_head."): v for k, v in state.items()}
    with torch.inference_mode():
        f = encoder(images).mean((1, 2))
        hidden = F.gelu(F.linear(f, w["adatper.0.weight"], w["adatper.0.bias"]))
        f = f + F.linear(hidden, w["adatper.2.weight"], w["adatper.2.bias"])
        hidden = F.relu(F.linear(f, w["heads.0.weight"], w["heads.0.bias"]))
        expected = F.linear(hidden, w["heads.2.weight"], w["heads.2.bias"])
        torch.testing.assert_close(model(images).scores, expected)


TEXT = TextConfig(30, WIDTH, 1, 1, 16, 12, pooler=True)


def text_parts() -> dict[str, Tensor]:
    """A text encoder and a fusion."""
    encoder = VMambaConfig.vanilla((1, 1), WIDTH // 2)
    donor = AesMamba(AesMambaConfig(encoder=encoder, text=TEXT))
    assert donor.text is not None
    assert donor.fusion is not None
    state = {f"text_backbone.bert_model.{k}": v for k, v in donor.text.bert.state_dict().items()}
    public = {
        "to_q": "cross_attention.to_q",
        "to_kv": "cross_attention.to_kv",
        "to_out": "cross_attention.to_out.0",
        "norm_image": "norm_attn_img",
        "norm_text": "norm_attn_text",
        "norm_ffn": "norm_ffn",
        "fc1": "ffn.fc1",
        "fc2": "ffn.fc2",
    }
    for key, value in donor.fusion.state_dict().items():
        module, parameter = key.split(".")
        state[f"attrInject.{public[module]}.{parameter}"] = torch.randn_like(value)
    return state


def test_a_public_p_file_brings_its_text_encoder_and_fusion(tmp_path):
    _, state = vanilla_encoder("img_feature")
    for name in ("aesthetic", "dof", "willingToShare"):
        state |= head(f"multi_attr_pred_head.{name}_head")
    state |= text_parts()
    torch.save(state, tmp_path / "user.pth")
    model = load_public_aesmamba(tmp_path / "user.pth", name="user")
    assert model.config.attributes == ("aesthetic", "depth_of_field", "willingness_to_share")
    assert (model.config.text, model.config.reads) == (TEXT, "prompt")
    assert model.fusion is not None
    expected = state["attrInject.ffn.fc1.weight"]
    torch.testing.assert_close(model.fusion.fc1.weight.detach(), expected)
    ids = torch.randint(1, 30, (2, 5))
    assert model(torch.randn(2, 3, 32, 32), ids, torch.ones_like(ids)).scores.shape == (2, 3)


def test_a_public_m_file_reads_captions(tmp_path):
    _, state = vanilla_encoder("img_model")
    torch.save(state | head("pred_head.aesthetic_head") | text_parts(), tmp_path / "m.pth")
    config = load_public_aesmamba(tmp_path / "m.pth", name="m").config
    assert (config.text, config.reads) == (TEXT, "caption")


@pytest.mark.parametrize("words", [29, 30, 31])
def test_a_tokenizer_of_another_bert_is_told(words, tmp_path):
    """Its ids would be of other words, or of none."""
    _, state = vanilla_encoder("img_model")
    torch.save(state | head("pred_head.aesthetic_head") | text_parts(), tmp_path / "m.pth")
    more = [f"word{i}" for i in range(words - len(SPECIAL_TOKENS))]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *more]) + "\n")

    def import_it():
        return import_model(tmp_path / "m.pth", "m", tmp_path, tokenizer=tmp_path)

    if words == TEXT.vocab_size:
        assert (import_it() / "tokenizer.json").is_file()
    else:
        with pytest.raises(CheckpointError, match=rf"trained with 30 words, .* has {words}"):
            import_it()


def test_a_distribution_file_gets_the_scale_of_its_bins(tmp_path):
    _, state = vanilla_encoder("img_model")
    torch.save(state | head("pred_head.aesthetic_head", bins=10, classes=7), tmp_path / "ava.pth")
    config = load_public_aesmamba(tmp_path / "ava.pth", name="ava").config
    assert (config.bins, config.scale_classes, config.scale.high) == (10, 7, 10.0)


def test_an_unknown_key_is_named(tmp_path):
    _, state = vanilla_encoder("img_model")
    torch.save(state | head("pred_head.mood_head"), tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="mood_head"):
        load_public_aesmamba(tmp_path / "odd.pth", name="odd")
