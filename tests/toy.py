"""A real model, home and photos, small enough that every test can afford them."""

from __future__ import annotations

import csv
import dataclasses
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.backbone import save_reference
from aesmamba_sdk.model.config import AesMambaConfig, TextConfig, VMambaConfig
from aesmamba_sdk.model.folder import save_model
from aesmamba_sdk.model.text import TextTokenizer
from aesmamba_sdk.personalize.space import PhotoSpace

CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
CONFIG = AesMambaConfig(
    name="toy",
    encoder=VMambaConfig(depths=(1, 1), dims=(12, 24), mlp_ratio=2.0),
    text=TextConfig(
        vocab_size=5 + 2 * len(CHARACTERS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=200,
    ),
    attributes=("aesthetic", "color"),
    head_hidden=16,
    image_size=32,
)
READS_DEVIATIONS = dataclasses.replace(CONFIG, deviations=True)


def tokenizer() -> TextTokenizer:
    """WordPiece over single characters."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*specials, *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
    vocabulary = {word: i for i, word in enumerate(words)}
    wordpiece = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return TextTokenizer(wordpiece)


def model(seed: int = 0, config: AesMambaConfig = CONFIG) -> AesMamba:
    """Random, but with scores that differ between photos and lie inside the scale."""
    torch.manual_seed(seed)
    network = AesMamba(config, tokenizer=tokenizer()).eval()
    with torch.no_grad():
        for head in network.heads.heads.values():
            for layer in (head.adapter.down, head.adapter.up, head.score[0], head.score[2]):
                layer.weight.mul_(8)
            head.score[2].bias.fill_(3.0)
            if head.variation is not None:
                head.variation.weight.normal_()
    return network


def save_toy(
    folder: Path, seed: int = 0, *, reference: bool = True, config: AesMambaConfig = CONFIG
) -> Path:
    network = model(seed, config)
    save_model(network, folder)
    if reference:
        generator = torch.Generator().manual_seed(seed)
        save_reference(folder, torch.randn(50, CONFIG.encoder.described, generator=generator))
    return folder


def linear_space(features: int) -> PhotoSpace:
    """Photos as they are kept: tastes are linear in f_v."""
    return PhotoSpace(
        np.zeros(features, np.float32),
        np.eye(features, dtype=np.float16),
        np.zeros((0, features), np.float16),
    )


def photo(light: float, seed: int) -> Image.Image:
    """Noise around a grey level 0-1, with a colour cast of its own."""
    rng = np.random.default_rng(seed)
    cast = rng.uniform(-30, 30, 3)
    pixels = rng.normal(255 * light, 20, (40, 60, 3)) + cast
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Photos from dark to bright in random order."""
    folder.mkdir(parents=True, exist_ok=True)
    lights = np.random.default_rng(seed).permutation(np.linspace(0.1, 0.9, count))
    paths = [folder / f"{i:03}.png" for i in range(count)]
    for i, path in enumerate(paths):
        photo(lights[i], seed * 1000 + i).save(path)
    return paths


def brightness(path: Path) -> float:
    with Image.open(path) as image:
        return float(np.asarray(image.convert("L")).mean() / 255)


def write_ratings(paths: Sequence[Path], *, likes_light: bool = True) -> Path:
    """A ratings.csv beside the photos: half stars by brightness."""
    table = paths[0].parent / "ratings.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "score"])
        for path in paths:
            light = brightness(path)
            stars = 1 + 4 * (light if likes_light else 1 - light)
            writer.writerow([path.name, min(5, max(1, round(2 * stars) / 2))])
    return table
