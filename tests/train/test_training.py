"""Losses against their formulas, and a loop that learns, resumes and distils."""

from __future__ import annotations

import contextlib
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from aesmamba_sdk.errors import DatasetError, SetupError, TrainingError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.config import AesMambaConfig, VMambaConfig
from aesmamba_sdk.model.preprocess import normalize
from aesmamba_sdk.train import tasks
from aesmamba_sdk.train.correlations import correlations
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.devices import Devices
from aesmamba_sdk.train.journal import METRICS_FILE, Journal, draw_curves, read_curves
from aesmamba_sdk.train.judge import View
from aesmamba_sdk.train.loop import TrainingArguments
from aesmamba_sdk.train.losses import (
    balanced_cross_entropy,
    category_counts,
    masked_mse,
    scale_category,
)
from aesmamba_sdk.train.trainer import Trainer, _stage_maps
from aesmamba_sdk.train.views import augment, predict
from tests import toy

NAN = float("nan")
CONFIG = AesMambaConfig(
    encoder=VMambaConfig(depths=(1, 1), dims=(8, 16), mlp_ratio=2.0),
    attributes=("aesthetic", "quality"),
    head_hidden=8,
)
ARGUMENTS = TrainingArguments(
    epochs=4, batch_size=8, learning_rate=3e-3, image_size=16, ema=0.9, log_steps=1
)


def bright_is_beautiful(count: int, seed: int) -> PhotoSet:
    """Plain photos whose aesthetic score is their brightness; quality has no labels."""
    rng = np.random.default_rng(seed)
    level = rng.integers(20, 235, count)
    pixels = np.broadcast_to(level[:, None, None, None], (count, 20, 20, 3)).astype(np.uint8)
    scores = torch.full((count, 2), NAN)
    scores[:, 0] = torch.from_numpy(1 + 4 * level / 255)
    return PhotoSet(tuple(map(str, range(count))), pixels, scores)


def trainer(folder, arguments=ARGUMENTS, teacher=None) -> Trainer:
    torch.manual_seed(0)
    photos, held_out = bright_is_beautiful(64, 0), bright_is_beautiful(32, 1)
    return Trainer(AesMamba(CONFIG), photos, held_out, folder, arguments, teacher)


def test_missing_labels_cost_nothing():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    target = torch.tensor([[2.0, NAN], [3.0, 2.0]])
    assert masked_mse(predicted, target).item() == 0.5 + 4.0


def test_balanced_cross_entropy_is_equation_5():
    logits, counts = torch.tensor([[[0.1, 0.7, -0.3]]]), torch.tensor([[5.0, 1.0, 2.0]])
    weighted = [n * math.exp(z) for n, z in zip([5, 1, 2], [0.1, 0.7, -0.3], strict=True)]
    expected = -math.log(weighted[1] / sum(weighted))
    loss = balanced_cross_entropy(logits, torch.tensor([[1]]), counts)
    assert math.isclose(loss.item(), expected, rel_tol=1e-6)


def test_scale_categories_are_paras():
    scores = torch.tensor([[1.0], [1.99], [2.0], [3.5], [4.0], [5.0], [NAN]])
    classes = scale_category(scores)
    assert classes.flatten().tolist() == [0, 0, 1, 2, 3, 3, -1]
    assert category_counts(classes, 4).tolist() == [[2, 1, 1, 2]]


def test_crops_depend_on_the_generator_alone():
    pixels = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    first = augment(pixels, 16, torch.Generator().manual_seed(1))
    assert first.shape == (4, 3, 16, 16)
    torch.testing.assert_close(first, augment(pixels, 16, torch.Generator().manual_seed(1)))


def test_the_loop_learns_from_photos(tmp_path):
    run = trainer(tmp_path, dataclasses.replace(ARGUMENTS, epochs=20))
    run.run()
    assert run.validate()["srcc_aesthetic"] > 0.9


def test_a_killed_run_continues_exactly(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.run()
    killed = trainer(tmp_path / "killed", dataclasses.replace(ARGUMENTS, checkpoint_minutes=0))
    killed._log = lambda values: _die_at(killed, 13)  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        killed.run()
    again = trainer(tmp_path / "killed")
    assert 0 < again.step < again.steps
    again.run()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=0)


def test_a_clip_of_0_limits_no_gradient(tmp_path):
    steps = []
    for clip in (0.0, 1e9):
        run = trainer(tmp_path / str(clip), dataclasses.replace(ARGUMENTS, clip=clip))
        weight = run.model.heads.heads["aesthetic"].score[0].weight
        before = weight.detach().clone()
        run._train_step()
        steps.append(weight.detach() - before)
    assert steps[0].any()
    torch.testing.assert_close(*steps, rtol=0, atol=0)


def test_the_weights_that_ranked_validation_photos_best_are_kept(tmp_path):
    run = trainer(tmp_path, dataclasses.replace(ARGUMENTS, keep_best=True))
    for _ in range(3):
        run._train_step()
    run._remember({"srcc_aesthetic": 0.6, "srcc_quality": 1.2, "plcc_aesthetic": 0.0})
    expected = {name: value.clone() for name, value in run.averaged.items()}
    run.step = run.steps - 1
    run._train_step()
    run._remember({"srcc_aesthetic": 1.0, "srcc_quality": 0.7, "plcc_aesthetic": 1.0})
    run.step = run.steps
    run.run()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    again = trainer(tmp_path, dataclasses.replace(ARGUMENTS, keep_best=True))
    assert again.best["score"] == pytest.approx(0.9)


def test_the_last_weights_are_kept_where_nothing_ranks_any(tmp_path):
    run = trainer(tmp_path, dataclasses.replace(ARGUMENTS, keep_best=True))
    run.validation.scores.fill_(NAN)
    run.run()
    assert run.best is None
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(value, run.averaged[name], rtol=0, atol=0)


def test_a_checkpoint_of_another_model_is_told(tmp_path):
    trainer(tmp_path)._save()
    other = dataclasses.replace(CONFIG, head_hidden=4)
    photos = bright_is_beautiful(64, 0)
    with pytest.raises(SetupError, match=r"checkpoint\.pt is of another model"):
        Trainer(AesMamba(other), photos, photos, tmp_path, ARGUMENTS)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": math.inf},
        {"learning_rate": NAN},
        {"learning_rate": -1e-4},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 10**14},
        {"warmup": 4.0},
        {"blended": 2.0},
        {"softened": 3.0},
        {"photo_alone": 7.0},
        {"ruined": -0.1},
        {"ema": 1.5},
    ],
)
def test_numbers_that_nothing_can_be_trained_with_are_told(changes):
    (name,) = changes
    with pytest.raises(SetupError, match=f"{name.replace('_', ' ')} is .*: choose"):
        dataclasses.replace(ARGUMENTS, **changes)


def test_the_largest_seed_trains(tmp_path):
    trainer(tmp_path, dataclasses.replace(ARGUMENTS, seed=2**43))._train_step()


@pytest.mark.parametrize("left", [0, 1000])
def test_a_checkpoint_that_was_cut_short_is_told(left, tmp_path):
    trainer(tmp_path)._save()
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(SetupError, match=r"checkpoint\.pt is damaged or cut short: delete it"):
        trainer(tmp_path)


def test_a_line_of_the_journal_that_was_cut_short_is_passed_over(tmp_path):
    assert read_curves(tmp_path) == {}
    Journal(tmp_path).write(1, 0.5, {"loss": 3.0})
    with (tmp_path / METRICS_FILE).open("a") as stream:
        stream.write('{"step": 2, "ep')
    Journal(tmp_path).write(3, 1.5, {"loss": 2.0})
    assert read_curves(tmp_path) == {"loss": {1: 3.0, 3: 2.0}}
    assert draw_curves(tmp_path) is not None


def test_a_loss_that_is_no_number_ends_the_run_before_the_weights_are_spoiled(tmp_path):
    run = trainer(tmp_path)
    run.photos.scores[:] = math.inf
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    with pytest.raises(TrainingError, match="the loss of step 0 is inf"):
        run.run()
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_run_can_be_planned_anew(tmp_path):
    killed = trainer(tmp_path, dataclasses.replace(ARGUMENTS, checkpoint_minutes=0))
    killed._log = lambda values: _die_at(killed, 13)  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        killed.run()
    shorter = trainer(tmp_path, dataclasses.replace(ARGUMENTS, epochs=2))
    shorter.run()
    assert shorter.step == shorter.steps == 16
    assert '"epochs": 2' in (tmp_path / "metrics.jsonl").read_text()
    assert shorter.optimizer.param_groups[0]["lr"] < ARGUMENTS.learning_rate / 10


@pytest.mark.parametrize("batch_size", [4, 16])
def test_a_run_goes_on_at_the_same_epoch_with_batches_of_another_size(batch_size, tmp_path):
    run = trainer(tmp_path)
    run.step = 2 * run.steps_per_epoch
    run._save()
    again = trainer(tmp_path, dataclasses.replace(ARGUMENTS, batch_size=batch_size))
    assert again.step == 2 * again.steps_per_epoch
    again.run()
    assert again.step == again.steps == 4 * 64 // batch_size


def _die_at(run: Trainer, step: int) -> None:
    if run.step == step:
        raise KeyboardInterrupt


def test_the_teachers_maps_are_learned(tmp_path):
    def teacher(images: Tensor) -> View:
        pool = torch.nn.functional.avg_pool2d
        maps = {4: pool(images, 4), 8: pool(images, 8)}
        return View(maps, torch.full((len(images), 2), NAN), images.mean((2, 3)))

    run = trainer(tmp_path, dataclasses.replace(ARGUMENTS, distillation=1.0, epochs=6), teacher)
    first = run._train_step()["distillation"]
    run.run()
    run.step -= 1
    assert run._train_step()["distillation"] < first / 2


def test_projections_are_fitted_before_the_first_step(tmp_path):
    """To what the encoder already knows of the teacher: nothing is left for them to learn."""

    def teacher(images: Tensor) -> View:
        maps = {4: torch.nn.functional.avg_pool2d(images, 4)}
        return View(maps, torch.full((len(images), 2), math.nan), images.mean((2, 3)))

    arguments = dataclasses.replace(ARGUMENTS, distillation=1.0, features=1.0)
    before, after = (trainer(tmp_path / name, arguments, teacher) for name in ("a", "b"))
    after.fit_projections(batches=4)
    random, fitted = before._train_step(), after._train_step()
    for name in ("distillation", "features"):
        assert fitted[name] < random[name] / 2, name


def test_the_teachers_scores_are_learned_where_there_are_no_labels(tmp_path):
    def teacher(images: Tensor) -> View:
        scores = torch.full((len(images), 2), NAN)
        scores[:, 1] = 1 + 4 * images.mean((1, 2, 3))
        return View({4: images[..., ::4, ::4], 8: images[..., ::8, ::8]}, scores, scores)

    arguments = dataclasses.replace(ARGUMENTS, soft_targets=1.0, epochs=20)
    run = trainer(tmp_path, arguments, teacher)
    run.run()
    photos = bright_is_beautiful(32, 2)
    assert srcc(predict(run.model, photos, 16)[:, 1], photos.scores[:, 0]) > 0.9


def test_a_teacher_is_not_asked_what_a_ruined_photo_is_worth(tmp_path):
    """Here it would praise every photo: where all are ruined, only the lowered labels count."""

    def flatterer(images: Tensor) -> View:
        return View({}, torch.full((len(images), 2), 5.0), images.mean((2, 3)))

    arguments = dataclasses.replace(
        ARGUMENTS, distillation=0.0, features=1.0, soft_targets=9.0, ruined=1.0
    )
    losses = trainer(tmp_path, arguments, flatterer)._train_step()
    assert losses["soft_targets"] == 0
    assert losses["mse"] > 0


def test_a_step_computes_where_the_model_is(tmp_path, monkeypatch):
    """``meta`` stands for a GPU: it refuses what lies elsewhere, too."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # has no meta

    def teacher(images: Tensor) -> View:
        scores = images.new_full((len(images), 2), 3.0)
        return View({8: images[..., ::8, ::8]}, scores, images.mean((2, 3)))

    torch.manual_seed(0)
    photos, meta = bright_is_beautiful(64, 0), Devices(torch.device("meta"))
    learned = {"distillation": 1.0, "features": 1.0, "soft_targets": 1.0}
    arguments = dataclasses.replace(ARGUMENTS, blended=0.5, softened=0.4, **learned)
    run = Trainer(AesMamba(CONFIG), photos, photos, tmp_path, arguments, teacher, devices=meta)
    losses = run._losses(*run._batch(0))
    assert losses.keys() >= learned.keys()
    assert {loss.device.type for loss in losses.values()} == {"meta"}


def light(images: Tensor) -> View:
    """A teacher of one feature, the light of a crop, and of one that never varies."""
    features = torch.stack([images.mean((1, 2, 3)), torch.zeros(len(images))], 1)
    return View({}, torch.full((len(images), 2), NAN), features)


def test_f_v_comes_to_know_the_teachers_features(tmp_path):
    arguments = dataclasses.replace(ARGUMENTS, features=1.0, blended=0.5, epochs=6)
    run = trainer(tmp_path, arguments, light)
    first = run._train_step()["features"]
    run.run()
    run.step -= 1
    assert run._train_step()["features"] < first / 2


@pytest.mark.parametrize("asked", ["distillation", "features", "soft_targets", "blended"])
def test_what_a_teacher_tells_is_not_learned_without_one(asked, tmp_path):
    with pytest.raises(SetupError, match="are learned from a teacher: name one"):
        trainer(tmp_path, dataclasses.replace(ARGUMENTS, **{asked: 0.5}))


def test_photos_that_are_blended_have_plain_scores(tmp_path):
    arguments = dataclasses.replace(ARGUMENTS, features=1.0, blended=0.5)
    photos = dataclasses.replace(bright_is_beautiful(16, 0), texts=("hello",) * 16)
    with pytest.raises(SetupError, match="votes or texts"):
        Trainer(AesMamba(CONFIG), photos, photos, tmp_path, arguments, light)


def test_photos_and_their_mirror_images_come_to_score_alike(tmp_path):
    """Of photos with a left and a right half, every other of them labelled."""

    def difference(agreement: float) -> float:
        arguments = dataclasses.replace(ARGUMENTS, agreement=agreement, epochs=20)
        torch.manual_seed(0)
        network, folder = AesMamba(CONFIG), tmp_path / str(agreement)
        run = Trainer(network, halves(64, 0), halves(16, 1), folder, arguments)
        run.run()
        unseen = halves(64, 2)
        flipped = dataclasses.replace(unseen, pixels=unseen.pixels[:, :, ::-1].copy())
        scores, mirrored = (predict(network, p, 16)[:, 0] for p in (unseen, flipped))
        return float((scores - mirrored).std() / scores.std())

    assert difference(10.0) < difference(0.0) / 2


def halves(count: int, seed: int) -> PhotoSet:
    rng = np.random.default_rng(seed)
    level = rng.integers(20, 235, (count, 2))
    pixels = np.repeat(level, 10, 1)[:, None, :, None].repeat(20, 1).repeat(3, 3).astype(np.uint8)
    scores = torch.full((count, 2), NAN)
    scores[::2, 0] = torch.from_numpy(1 + 4 * level.mean(1) / 255).float()[::2]
    return PhotoSet(tuple(map(str, range(count))), pixels, scores)


def test_agreement_asks_only_about_scores_that_are_learned(tmp_path):
    run = trainer(tmp_path, dataclasses.replace(ARGUMENTS, agreement=1.0, epochs=1))
    views, rows = run._batch(0)
    assert torch.equal(views.images[6:], views.images[:2].flip(3))
    assert rows[6:].tolist() == rows[:2].tolist(), "also the votes and texts of the same"
    scores = run.model(normalize(views.images, run.model.config)).scores
    expected = (scores[:2, 0] - scores[6:, 0]).square().mean()
    torch.testing.assert_close(run._losses(views, rows)["agreement"], expected)


def test_agreement_needs_batches_with_room_for_mirror_images(tmp_path):
    arguments = dataclasses.replace(ARGUMENTS, agreement=1.0, batch_size=3)
    with pytest.raises(SetupError, match="at least 4"):
        trainer(tmp_path, arguments)


def test_the_loop_sees_the_encoders_own_maps():
    torch.manual_seed(0)
    encoder, images = AesMamba(CONFIG).encoder, torch.randn(2, 3, 16, 16)
    for ours, its in zip(_stage_maps(encoder, images), encoder.stage_maps(images), strict=True):
        torch.testing.assert_close(ours, its, rtol=0, atol=0)


def test_a_text_is_read_the_same_whatever_it_is_read_beside():
    """Shorter texts are padded to the longest of their batch; padding takes no part."""
    network = toy.model()
    with torch.no_grad():
        torch.nn.init.normal_(network.fusion.to_out.weight)
    photos = bright_is_beautiful(3, 0)
    texts = ("short", "a rather longer one, with more to say", "")
    together = dataclasses.replace(photos, texts=texts)
    scores = predict(network, together, 32)
    for i in range(3):
        torch.testing.assert_close(predict(network, together.subset([i]), 32)[0], scores[i])
    assert not torch.allclose(scores, predict(network, together, 32, alone=True), atol=0.01)


def test_photos_and_people_held_out_are_not_learned_from():
    people = tuple(f"u{i % 7}" for i in range(200))
    place = np.arange(200) % 40
    photos = bright_is_beautiful(40, 0)
    ratings = dataclasses.replace(
        photos, names=people, scores=torch.zeros(200, 1), people=people, place=place
    )
    kept, held = tasks.divide(ratings, 0.3, seed=0)
    assert not set(kept.people) & set(held.people)
    assert not set(kept.place) & set(held.place)
    assert len(set(held.people)) == 2
    assert len(set(held.place)) <= 12
    with pytest.raises(DatasetError, match="1 examples cannot be divided"):
        tasks.divide(photos.subset([0]), 0.1, seed=0)


def test_figures_of_peoples_ratings_are_means_over_people():
    people = ("a",) * 4 + ("b",) * 4 + ("c",) * 2
    scores = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4, 9, 8.0])[:, None]
    target = torch.tensor([1, 2, 3, 4, 4, 3, 2, 1, 1, 2.0])[:, None]
    photos = PhotoSet(people, np.zeros((10, 1, 1, 3), np.uint8), target, people=people)
    assert correlations(scores, photos, ("beauty",))["srcc_beauty"] == pytest.approx(0)
    constant = correlations(torch.ones(10, 1), photos, ("beauty",))
    assert constant == {"srcc_beauty": 0, "plcc_beauty": 0}
