"""A judge of a few layers: what it says, and that it learns."""

from __future__ import annotations

import torch

from aesmamba_sdk.train.judge import Judge, JudgeTrainer, Panel
from aesmamba_sdk.train.loop import TrainingArguments
from aesmamba_sdk.train.teacher import MobileNetV2, _Layer
from tests.train.test_training import bright_is_beautiful

NAMES = ("aesthetic", "quality")


def judge() -> Judge:
    """Convolutions of stride 2 down to stride 32, with the channels of no network in particular."""
    torch.manual_seed(0)
    layers, weights = [], {}
    for number in range(1, 6):
        layers.append(_Layer("convolution", (number - 1,), number, stride=2, relu6=number == 5))
        kernel = torch.randn(4, 3 if number == 1 else 4, 3, 3) / 4
        weights[number] = (kernel, torch.zeros(4))
    return Judge(MobileNetV2(layers, weights), bright_is_beautiful(64, 0))


def test_a_judge_begins_at_the_mean_and_leaves_unknown_attributes_out():
    photos = bright_is_beautiful(64, 0)
    view = judge()(torch.rand(3, 3, 64, 64))
    torch.testing.assert_close(view.scores[:, 0], photos.scores[:, 0].mean().expand(3))
    assert view.scores[:, 1].isnan().all()
    assert [tuple(m.shape[1:]) for m in view.maps.values()] == [
        (4, 16, 16), (4, 8, 8), (4, 4, 4), (4, 2, 2),
    ]  # fmt: skip


def test_sides_that_are_no_multiple_of_the_stride_round_up():
    maps = judge()(torch.rand(1, 3, 40, 40)).maps
    assert {stride: m.shape[-1] for stride, m in maps.items()} == {4: 10, 8: 5, 16: 3, 32: 2}


def test_a_panel_adds_the_features_of_the_network_as_it_was():
    learned, unlearned = judge(), judge().network
    with torch.no_grad():
        learned.network.kernel_1.add_(0.1)
    images = torch.rand(3, 3, 64, 64)
    view = Panel(learned, unlearned)(images)
    both = torch.cat([images, images.flip(3)])
    expected = [network(both)[32].mean((2, 3)) for network in (learned.network, unlearned)]
    for own, features in zip(view.features.split(4, dim=1), expected, strict=True):
        torch.testing.assert_close(own, features.unflatten(0, (2, 3)).mean(0))
    assert not torch.allclose(view.features[:, :4], view.features[:, 4:])


def test_a_panel_sees_a_photo_and_its_mirror_image_alike():
    learned = judge()
    torch.nn.init.normal_(learned.head.weight)
    panel, images = Panel(learned, judge().network), torch.rand(3, 3, 64, 64)
    seen, mirrored = panel(images), panel(images.flip(3))
    torch.testing.assert_close(seen.scores, mirrored.scores, equal_nan=True)
    torch.testing.assert_close(seen.features, mirrored.features)
    alone = learned(images).scores
    assert not torch.allclose(alone[:, 0], learned(images.flip(3)).scores[:, 0])
    assert seen.scores[:, 1].isnan().all()


def test_the_whole_judge_learns(tmp_path):
    network = judge()
    first = network.network.kernel_1.clone()
    arguments = TrainingArguments(
        epochs=30, batch_size=8, learning_rate=1e-2, image_size=32, ema=0.9, log_steps=100
    )
    photos, held_out = bright_is_beautiful(64, 0), bright_is_beautiful(32, 1)
    trainer = JudgeTrainer(network, photos, held_out, tmp_path, arguments, NAMES)
    trainer.run()
    report = trainer.validate()
    assert report["srcc_aesthetic"] > 0.9
    assert "srcc_quality" not in report
    assert not torch.equal(network.network.kernel_1, first)
