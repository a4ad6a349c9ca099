"""The recipe's parts on made photos, and the teacher against real ones."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import preset
from aesmamba_sdk.model.heads import AttributeHead
from aesmamba_sdk.model.text import TextTokenizer
from aesmamba_sdk.train import attributes, nano
from aesmamba_sdk.train.data import PhotoSet, data_folder
from aesmamba_sdk.train.judge import Judge, mean_judge
from aesmamba_sdk.train.teacher import MobileNetV2, _fused_convolution, _Layer, _pad_same
from aesmamba_sdk.train.views import describe, embed, predict, resize


def made_photos(count: int, seed: int) -> PhotoSet:
    """Plain photos, all of whose attributes are their brightness."""
    rng = np.random.default_rng(seed)
    level = rng.integers(20, 235, count)
    pixels = np.broadcast_to(level[:, None, None, None], (count, 36, 36, 3)).astype(np.uint8)
    scores = torch.from_numpy(1 + 4 * level / 255).float()[:, None].expand(-1, 9).contiguous()
    return PhotoSet(tuple(map(str, range(count))), pixels, scores)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AesMamba(preset("nano", variant="F"))


def test_heads_begin_at_the_mean_label(model):
    photos = made_photos(20, 0)
    attributes.start_at_means(model, photos)
    assert torch.allclose(predict(model, photos, 32).mean(0), photos.scores.mean(0), atol=0.2)


def test_the_other_attributes_are_learned_and_the_pretrained_heads_stay(model):
    """From an aesthetic head that tells them little: brightness is in the features, though."""
    photos, unseen = made_photos(128, 0), made_photos(64, 2)
    before = predict(model, unseen, 32)
    attributes.adapt_heads(model, photos, 32, seed=0)
    after = predict(model, unseen, 32)
    assert torch.equal(before[:, :2], after[:, :2])
    assert all(srcc(after[:, i], unseen.scores[:, i]) > 0.9 for i in range(2, 9))
    assert torch.allclose(after[:, 2:].mean(0), unseen.scores[:, 2:].mean(0), atol=0.2)


def random_term(deviations: int = 0) -> tuple[AttributeHead, attributes.Term, torch.Tensor]:
    torch.manual_seed(0)
    head = AttributeHead(24, hidden=16, bins=1, scale_classes=4, deviations=deviations)
    for layer in (head.score[0], head.score[2], head.variation):
        if layer is not None:
            torch.nn.init.normal_(layer.weight, std=0.3)
    term = attributes.Term(0.7, torch.randn(24 + deviations).double() / 10, 1.5)
    return head, term, torch.randn(200, 24 + deviations).double()


@pytest.mark.parametrize("deviations", [0, 8])
def test_a_head_says_what_its_term_says(deviations):
    head, term, read = random_term(deviations)
    with torch.no_grad():
        # The unit that gives way must not count: here one that is never on.
        head.score[0].weight[3] = 0
        expected = term(read, head.rate(read.float()).double().squeeze(-1))
        attributes._write_term(head, term, read)
        written = head.rate(read.float()).squeeze(-1).double()
    torch.testing.assert_close(written, expected, rtol=0, atol=1e-4)


def test_a_term_finds_what_the_aesthetic_score_lacks():
    _, term, adapted = random_term()
    scores = torch.randn(1, 200).double()
    target = term(adapted, scores[0])
    found = attributes.fit_term(adapted[None], scores, target, 1e-6)
    assert srcc(found(adapted, scores[0]), target) > 0.98
    shrink, unseen = attributes.choose_shrinkage(adapted[None], scores, target, seed=0)
    assert shrink == min(attributes._SHRINKAGE), "nothing here is noise"
    assert srcc(unseen, target) > srcc(scores[0], target)


def test_photos_count_as_much_as_their_weights_say():
    _, _, adapted = random_term()
    scores, target = torch.randn(1, 200).double(), torch.randn(200).double()
    weights = torch.ones(200)
    weights[50:100], weights[100:] = 2.0, 0.0
    found = attributes.fit_term(adapted[None], scores, target, 0.01, weights)
    rows = torch.cat([torch.arange(100), torch.arange(50, 100)])
    repeated = attributes.fit_term(adapted[None][:, rows], scores[:, rows], target[rows], 0.01)
    assert found.slope == pytest.approx(repeated.slope)
    torch.testing.assert_close(found.weight, repeated.weight)
    assert found.intercept == pytest.approx(repeated.intercept)


def test_heads_are_refined_to_what_features_tell_of_whole_photos(model):
    model = copy.deepcopy(model)
    photos, unseen = made_photos(128, 0), made_photos(64, 2)
    before = predict(model, unseen, 32)
    features = embed(model, photos, 32)
    refining = attributes.RefiningSet(features, photos.scores, torch.ones(128), features[::4])
    attributes.refine_heads(model, refining)
    after = predict(model, unseen, 32)
    for i in range(2):
        error = (after[:, i] - unseen.scores[:, i]).abs().mean()
        assert error < 0.2 * (before[:, i] - unseen.scores[:, i]).abs().mean()
    assert torch.equal(before[:, 2:], after[:, 2:])


def test_heads_see_some_photos_ruined(model):
    photos = made_photos(130, 0)
    refining = attributes.refining_set(model, photos, 32, seed=0)
    assert refining.features.shape == (130 + 11, 576), "every twelfth"
    assert (refining.weights[:130] == 1).all()
    assert (refining.weights[130:] < 1).all()
    assert torch.equal(refining.scores[:130], photos.scores)
    assert (refining.scores[130:] < photos.scores[::12]).all()
    torch.testing.assert_close(refining.features[:130], embed(model, photos, 32))


def test_heads_see_the_middles_of_some_photos(model):
    photos = made_photos(10, 0)
    photos.pixels[:, 0] = photos.pixels[:, -1] = 255  # 3 % of 36 pixels are one on two sides
    photos.pixels[:, :, 0] = photos.pixels[:, :, -1] = 255
    refining = attributes.refining_set(model, photos, 32, seed=0)
    plain = embed(model, made_photos(10, 0).subset([0, 4, 8]), 32)
    torch.testing.assert_close(refining.cropped, plain, atol=1e-4, rtol=1e-4)


def test_photos_are_seen_as_they_are_scored(model):
    """By a model that is shown the brighter half left, so as their mirror images are."""
    photos = made_photos(3, 0)
    photos.pixels[:, :, :12] //= 2
    as_it_is = copy.deepcopy(model)
    as_it_is.config = dataclasses.replace(model.config, brighter_left=False)
    for look in (embed, describe):
        seen = look(model, photos, 32)
        torch.testing.assert_close(seen, look(model, flipped(photos), 32))
        torch.testing.assert_close(seen, look(as_it_is, flipped(photos), 32))
        assert not torch.allclose(seen, look(as_it_is, photos, 32))


def flipped(photos):
    return dataclasses.replace(photos, pixels=photos.pixels[:, :, ::-1].copy())


def test_what_cropping_changes_is_trusted_less_than_what_it_leaves():
    """Two numbers tell the score equally well; the first is another in a crop."""
    truth = torch.randn(500).double()
    read, cropped = (truth[:, None] + 0.3 * torch.randn(500, 2).double() for _ in range(2))
    cropped[:, 1] = read[:, 1]
    scores = torch.randn(1, 500).double()
    found = [
        attributes.fit_term(read[None], scores, truth, 1e-3, None, moves).weight
        for moves in (None, (cropped - read, torch.zeros(500).double()))
    ]
    assert 0.8 < found[0][0] / found[0][1] < 1.25
    assert found[1][0] < 0.7 * found[1][1]


def test_calibrated_scores_have_the_labels_mean_and_slope(model):
    photos = made_photos(64, 0)
    before = predict(model, photos, 32)
    attributes.calibrate(model, photos, 32)
    after = predict(model, photos, 32).double()
    for i in range(2):
        x, y = after[:, i], photos.scores[:, i].double()
        assert (x - y).mean().abs() < 1e-3
        slope, _ = np.polyfit(x.numpy(), y.numpy(), 1)
        assert abs(slope - 1) < 1e-2
        assert abs(srcc(before[:, i], after[:, i])) > 0.999


def test_a_student_goes_on_from_a_model_folder(model, tmp_path):
    nano.save_model(nano.assemble(model, 32, seed=0), tmp_path)
    photos = made_photos(8, 0)
    again = nano.student([tmp_path], photos, seed=1)
    expected = predict(model, photos, 32)
    assert torch.allclose(predict(again, photos, 32), expected, atol=5e-3)
    assert not torch.allclose(predict(nano.student([], photos, 1), photos, 32), expected, atol=0.1)


def test_a_student_goes_on_from_the_mean_of_several(model, tmp_path):
    torch.manual_seed(1)
    other = AesMamba(preset("nano", variant="F"))
    for name, one in (("a", model), ("b", other)):
        nano.save_model(nano.assemble(one, 32, seed=0), tmp_path / name)
    mean = nano.student([tmp_path / "a", tmp_path / "b"], made_photos(8, 0), seed=1)
    for (name, found), a, b in zip(
        mean.named_parameters(), model.parameters(), other.parameters(), strict=True
    ):
        torch.testing.assert_close(found, (a + b) / 2, rtol=0, atol=5e-3, msg=name)


def test_heads_that_read_no_deviations_begin_to(model, tmp_path):
    """Whichever of several folders has none."""
    old = dataclasses.replace(preset("nano"), deviations=False)
    AesMamba(old, tokenizer=TextTokenizer.compact()).save_pretrained(tmp_path / "old")
    nano.save_model(nano.assemble(model, 32, seed=0), tmp_path / "new")
    for names in (["old"], ["old", "new"], ["new", "old"]):
        begun = nano.student([tmp_path / name for name in names], made_photos(8, 0), seed=1)
        assert all(not head.variation.weight.any() for head in begun.heads.heads.values()), names


def test_the_size_is_the_one_that_ranks_best(model, monkeypatch):
    photos = made_photos(10, 0)
    right = photos.scores
    monkeypatch.setattr(
        nano, "predict", lambda model, photos, size: right if size == 144 else -right
    )
    asked = []
    assert (
        nano.choose_size(model, lambda side: asked.append(side) or photos, (128, 144, 160)) == 144
    )
    assert asked == [128, 144, 160], "photos are squashed to each size, not resized from another"


def test_the_shipped_model_scores_as_it_was_trained_whatever_the_text_says(model):
    shipped = nano.assemble(model, 32, seed=0)
    images = torch.randn(2, 3, 32, 32)
    ids, mask = shipped.tokenizer.encode(["My age is 30.", "I like quiet, dark pictures."])
    with torch.no_grad():
        expected = model.eval()(images).scores
        alone = shipped(images).scores
        assert torch.allclose(alone, expected, atol=5e-3), "half precision costs too much"
        assert torch.allclose(shipped(images, ids, mask).scores, alone, atol=1e-6)
    assert "no commercial use" in shipped.config.license


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (8, 2), (7, 2), (9, 2), (6, 3)])
def test_padding_is_that_of_tensorflow(size, stride):
    """Against a map that is padded by hand, the odd pixel at the bottom and right."""
    torch.manual_seed(0)
    x, kernel = torch.randn(1, 2, size, size), torch.randn(4, 2, 3, 3)
    missing = max(0, (-(-size // stride) - 1) * stride + 3 - size)
    before, after = missing // 2, missing - missing // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), kernel, stride=stride)
    grown, padding = _pad_same(kernel, x.shape[-2:], stride)
    torch.testing.assert_close(F.conv2d(x, grown, stride=stride, padding=padding), expected)
    assert expected.shape[-1] == -(-size // stride)


def test_maps_of_unequal_sides_are_padded_by_what_each_lacks():
    x, kernel = torch.randn(1, 2, 8, 7), torch.randn(4, 2, 3, 3)
    expected = F.conv2d(F.pad(x, (1, 1, 0, 1)), kernel, stride=2)
    grown, padding = _pad_same(kernel, x.shape[-2:], 2)
    torch.testing.assert_close(F.conv2d(x, grown, stride=2, padding=padding), expected)


def tiny_network(seed: int) -> MobileNetV2:
    torch.manual_seed(seed)
    made = [  # inputs, stride, groups, relu6: maps at strides 4, 8, 16 and 32
        (3, 2, 1, True), (1, 2, 6, False), (6, 2, 1, False), (6, 2, 1, False), (1, 1, 6, True),
        (6, 2, 1, False),
    ]  # fmt: skip
    layers, weights = [], {}
    for i, (inputs, stride, groups, relu6) in enumerate(made):
        layers.append(_Layer("convolution", (i,), i + 1, stride, groups, relu6))
        weights[i + 1] = torch.randn(6, inputs, 3, 3), torch.randn(6)
    return MobileNetV2(layers, weights)


def test_a_frozen_teacher_says_what_it_said_in_training():
    if _fused_convolution() is None:
        pytest.skip("this build of torch has no fused convolution")
    network = tiny_network(seed=0)
    images = torch.rand(2, 3, 64, 64)
    learning = network(images)
    assert all(m.requires_grad for m in learning.values())
    with torch.no_grad():
        frozen = network.requires_grad_(False)(images)
    for stride, m in learning.items():
        torch.testing.assert_close(frozen[stride], m.detach(), rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        half = network.bfloat16()(images)
    for stride, m in learning.items():
        assert half[stride].dtype == torch.bfloat16
        assert (half[stride] - m).std() < 0.05 * m.std(), f"stride {stride}"


def test_the_teacher_is_the_mean_of_several_and_a_little_of_what_they_were():
    photos = made_photos(4, 0)
    origin, *learned = (tiny_network(seed) for seed in range(3))
    judges = [Judge(network, photos) for network in learned]
    for judge, value in zip(judges, (1.0, 3.0), strict=True):
        torch.nn.init.constant_(judge.head.weight, value)
    kernels = [network.kernel_1.detach().clone() for network in (origin, *learned)]
    judge = mean_judge(judges, origin)
    assert (judge.head.weight == 2).all(), "the origin has no head to give"
    expected = 0.2 * kernels[0] + 0.4 * kernels[1] + 0.4 * kernels[2]
    torch.testing.assert_close(judge.network.kernel_1.detach(), expected)


def test_a_missing_teacher_is_named(tmp_path):
    with pytest.raises(SetupError, match=r"teacher\.tflite"):
        MobileNetV2.from_tflite(tmp_path / "teacher.tflite")


@pytest.mark.data
def test_the_teacher_sees_what_people_like(tmp_path):
    """Were a layer read wrongly, a linear head on its features would learn nothing."""
    teacher = MobileNetV2.from_tflite(data_folder() / nano._IMAGENET)
    photos = nano.para("test", tmp_path)
    pooled = []
    for rows in np.array_split(np.arange(len(photos)), 10):
        pixels, _ = photos.batch(rows)
        with torch.no_grad():
            maps = teacher(resize(pixels, 128) / 255)
        assert {s: (m.shape[1], m.shape[2]) for s, m in maps.items()} == {
            4: (24, 32), 8: (32, 16), 16: (96, 8), 32: (1280, 4),
        }  # fmt: skip
        pooled.append(maps[32].mean((2, 3)))
    x, y = torch.cat(pooled).double(), photos.scores[:, 0].double()
    train, test = slice(0, 350), slice(350, None)
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
    gram = x[train].T @ x[train] + 1000 * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x[train].T @ (y[train] - y[train].mean()))
    assert srcc(x[test] @ weights, y[test]) > 0.4
