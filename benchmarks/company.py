"""The networks that an encoder of this size is measured against: standard sizes, random weights.

All are plain feature extractors, without pooling, classifier or pretrained weights.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    MobileNetV2Config,
    MobileNetV2Model,
    ResNetConfig,
    ResNetModel,
    SwinConfig,
    SwinModel,
)

LEAST_SIDE = 224
"""Pixels of an image below which windows of Swin-T are cut, for which it has no positions."""


class Features(nn.Module):
    """A network of ``transformers``: (batch, 3, H, W) to its last map or tokens."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images).last_hidden_state
        return features


def swin_t() -> nn.Module:
    config = SwinConfig(embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7)
    return Features(SwinModel(config, add_pooling_layer=False))


def convnext_t() -> nn.Module:
    config = ConvNextConfig(depths=[3, 3, 9, 3], hidden_sizes=[96, 192, 384, 768])
    return Features(ConvNextModel(config))


def resnet50() -> nn.Module:
    config = ResNetConfig(depths=[3, 4, 6, 3], hidden_sizes=[256, 512, 1024, 2048])
    return Features(ResNetModel(config))


def mobilenet_v2() -> nn.Module:
    return Features(MobileNetV2Model(MobileNetV2Config(depth_multiplier=1.0, image_size=224)))


COMPANY: dict[str, Callable[[], nn.Module]] = {
    "swin_t": swin_t,
    "convnext_t": convnext_t,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
}
