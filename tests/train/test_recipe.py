"""Whole runs on made data: every variant learns, goes on where it was killed, and can be used."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import AesMambaError, CheckpointError, DatasetError, SetupError
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.photos import load_photo
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.traits import Traits
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets import read_dataset
from aesmamba_sdk.train.lock import alone
from aesmamba_sdk.train.recipe import train
from aesmamba_sdk.train.start import Start
from aesmamba_sdk.train.tasks import TASKS, gather
from tests import toy
from tests.train import made_runs
from tests.train.made_runs import stars


@pytest.fixture
def bright(tmp_path):
    """Photos whose score is how bright they are, and whose colour score how red."""
    values = made_runs.colours(tmp_path / "data", 120)
    rows = [(f"{i}.png", stars(v.mean()), stars(v[0])) for i, v in enumerate(values)]
    made_runs.table(tmp_path / "data", ["image", "score", "color"], rows)
    return tmp_path / "data"


def test_v_learns_a_score(bright, toy_model, tmp_path):
    outcome = train(made_runs.recipe("giaa", bright, toy_model, tmp_path / "run"))
    assert outcome.validation["srcc_aesthetic"] > 0.9
    assert (outcome.examples, outcome.held_out) == (96, 24)
    assert load_model(outcome.model).config.attributes == ("aesthetic",)


def test_f_learns_attributes_apart(bright, toy_model, tmp_path):
    outcome = train(made_runs.recipe("fiaa", bright, toy_model, tmp_path / "run"))
    assert outcome.validation["srcc_aesthetic"] > 0.9
    assert outcome.validation["srcc_color"] > 0.9


@pytest.fixture
def voted(tmp_path):
    """Photo.Net's layout: seven votes around how bright a photo is."""
    folder = tmp_path / "voted"
    values = made_runs.colours(folder / "images", 120)
    lines = ["index,comment,label,score"]
    for i, value in enumerate(values):
        votes = np.zeros(7, dtype=int)
        place = 6 * value.mean()
        votes[int(place)] = round(20 * (1 - place % 1))
        votes[int(place) + 1] += 20 - votes[int(place)]
        lines.append(f"{i}.png,[],{' '.join(map(str, votes))},")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_v_learns_distributions_of_votes(voted, toy_model, tmp_path):
    recipe = made_runs.recipe("giaa", voted, toy_model, tmp_path / "run", data="photonet")
    outcome = train(recipe)
    assert outcome.validation["srcc_aesthetic"] > 0.9
    config = load_model(outcome.model).config
    assert (config.bins, config.scale_classes, str(config.scale)) == (7, 4, "1-7")
    losses = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    first = next(line for line in losses if "emd" in line)
    expected = first["emd"] + 10 * first["mse"] + 0.001 * first["balanced_ce"]
    assert first["loss"] == pytest.approx(expected, rel=1e-5)


LIKED, DISLIKED = "wonderful light!", "so dull (and flat)"


@pytest.fixture
def captioned(tmp_path):
    """Random photos whose score is what is said of them, and a little how bright they are."""
    values = made_runs.colours(tmp_path / "captioned", 120)
    rows = []
    for i, v in enumerate(values):
        liked = i % 3 > 0
        text = LIKED if liked else DISLIKED
        rows.append((f"{i}.png", stars(0.6 * liked + 0.3 * v.mean()), text))
    made_runs.table(tmp_path / "captioned", ["image", "score", "text"], rows)
    return tmp_path / "captioned"


def test_m_learns_what_is_said_of_a_photo(captioned, toy_model, tmp_path):
    outcome = train(made_runs.recipe("miaa", captioned, toy_model, tmp_path / "run"))
    assert outcome.validation["srcc_aesthetic"] > 0.9
    unseen = made_runs.colours(tmp_path / "unseen", 30, seed=1)
    texts = [(DISLIKED, LIKED)[i % 2] for i in range(30)]
    expected = [0.6 * (t == LIKED) + 0.3 * v.mean() for t, v in zip(texts, unseen, strict=True)]
    with AesMamba(outcome.model, device="cpu") as sdk:
        photos = [tmp_path / f"unseen/{i}.png" for i in range(30)]
        said = [sdk.score(p, text=t) for p, t in zip(photos, texts, strict=True)]
        alone = [score.value for score in sdk.score_many(photos)]
        with pytest.raises(CheckpointError, match="reads captions of photos, not who is asking"):
            sdk.backbone.read("My age is 30.")
    assert srcc([score.value for score in said], expected) > 0.9
    assert said[0].percentile is None
    assert srcc(alone, expected) < 0.5, "a photo alone does not tell what was said of it"
    assert srcc(alone, unseen.mean(1)) > 0.5, "but how bright it is"


@pytest.fixture
def opinionated(tmp_path):
    """Experts like dark photos and beginners bright ones."""
    folder = tmp_path / "opinionated"
    values = made_runs.colours(folder, 60)
    people = {f"u{i}": ("expert", "beginner")[i % 2] for i in range(20)}
    rows = [
        (f"{i}.png", user, stars(v.mean() if level == "beginner" else 1 - v.mean()))
        for i, v in enumerate(values)
        for user, level in people.items()
        if (i + int(user[1:])) % 2
    ]
    made_runs.table(folder, ["image", "user", "score"], rows)
    lines = ["user,art_experience", *(f"{user},{level}" for user, level in people.items())]
    (folder / "users.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_p_learns_what_people_like_from_their_prompts(opinionated, toy_model, tmp_path):
    arguments = made_runs.arguments("piaa", epochs=10, validation_steps=40)
    recipe = made_runs.recipe("piaa", opinionated, toy_model, tmp_path / "run", arguments=arguments)
    outcome = train(recipe)
    assert outcome.validation["srcc_aesthetic"] > 0.8, "on people and photos it has not seen"
    light = made_runs.colours(tmp_path / "unseen", 30, seed=1).mean(1)
    with AesMamba(outcome.model, device="cpu") as sdk:
        photos = [load_photo(tmp_path / f"unseen/{i}.png").image for i in range(30)]
        features = sdk.backbone(photos)
        for level, likes in (("beginner", light), ("expert", -light)):
            prompt = SubjectPrompt(Traits(art_experience=level)).for_model()
            scores = sdk.backbone.scores(features, sdk.backbone.read(prompt))
            assert srcc(scores[:, 0], likes) > 0.9


@pytest.mark.parametrize("task", ["giaa", "piaa"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(task, bright, opinionated, toy_model, tmp_path):
    data = bright if task == "giaa" else opinionated

    def run(out, step=None):
        epochs = {"giaa": 2, "piaa": 0.5}[task]
        arguments = made_runs.arguments(
            task, epochs=epochs, checkpoint_minutes=0, log_steps=1, validation_steps=5
        )
        recipe = made_runs.recipe(task, data, toy_model, tmp_path / out, arguments=arguments)
        return train(recipe, progress=lambda what, done, _: _die(what, done, step))

    whole = run("whole")
    for step in (3, 8):
        with contextlib.suppress(KeyboardInterrupt):
            run("killed", step)
    assert not (tmp_path / "killed/model").exists()
    again = run("killed")
    assert again.validation == whole.validation
    expected = load_model(whole.model).state_dict()
    for name, value in load_model(again.model).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def _die(what, done, step):
    if (what, done) == ("training", step):
        raise KeyboardInterrupt


def test_a_run_leaves_a_model_to_score_with_and_its_story(bright, toy_model, tmp_path):
    arguments = made_runs.arguments("fiaa", epochs=2)
    recipe = made_runs.recipe("fiaa", bright, toy_model, tmp_path / "run", arguments=arguments)
    outcome = train(dataclasses.replace(recipe, name="mine", license="as you like"))
    assert outcome.begun_from == ("encoder", "head aesthetic", "head color")
    with AesMamba(outcome.model, device="cpu") as sdk:
        score = sdk.score(bright / "3.png", attributes=True)
    assert score.attributes.keys() == {"aesthetic", "color"}
    assert score.model.startswith("mine@")
    assert 0 <= score.percentile <= 1
    card = (outcome.model / "README.md").read_text()
    assert "as you like" in card
    assert f"{outcome.validation['srcc_color']:.3f}" in card
    assert outcome.curves.stat().st_size > 1000
    assert list((tmp_path / "run/tensorboard").iterdir())


@pytest.mark.parametrize("scale", [Scale(1, 5), Scale(0, 100)])
def test_heads_of_a_model_are_taken_over_on_ones_own_scale(bright, toy_model, tmp_path, scale):
    short = made_runs.arguments("fiaa", epochs=8)
    recipe = made_runs.recipe("fiaa", bright, toy_model, tmp_path / "first", arguments=short)
    first = train(recipe)
    arguments = made_runs.arguments("fiaa", epochs=0, learning_rate=0.0, final_rate=0.0)
    recipe = made_runs.recipe("fiaa", bright, first.model, tmp_path / "second", arguments=arguments)
    again = train(dataclasses.replace(recipe, scale=scale))
    assert again.begun_from == ("encoder", "head aesthetic", "head color")
    with AesMamba(first.model, device="cpu") as old, AesMamba(again.model, device="cpu") as now:
        for i in range(3):
            expected = old.backbone.config.scale.convert(
                old.score(bright / f"{i}.png").value, scale
            )
            assert now.score(bright / f"{i}.png").value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("encoder", "side"), [("tiny-v0", 16), ("swin", 64)])
def test_a_size_that_an_encoder_cannot_see_is_told(encoder, side, bright, tmp_path):
    arguments = made_runs.arguments("giaa", image_size=side)
    recipe = made_runs.recipe("giaa", bright, tmp_path, tmp_path / "run", arguments=arguments)
    with pytest.raises(SetupError, match=f"cannot see photos of {side} x {side} pixels"):
        train(dataclasses.replace(recipe, start=Start(encoder=encoder)))


def test_validation_examples_that_rank_nothing_are_refused(
    bright, opinionated, toy_model, tmp_path
):
    """Every epoch would be as good as the first, whose weights would be kept."""
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run")
    with pytest.raises(DatasetError, match=r"2 validation examples .* at least 3 scores\. Hold"):
        train(dataclasses.replace(recipe, validation=2 / 120))
    recipe = made_runs.recipe("piaa", opinionated, toy_model, tmp_path / "run")
    with pytest.raises(DatasetError, match="at least 3 scores by one person"):
        train(dataclasses.replace(recipe, validation=0.05))


def test_another_run_in_the_same_folder_is_refused(bright, toy_model, tmp_path):
    arguments = made_runs.arguments("giaa", epochs=1)
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run", arguments=arguments)
    train(recipe)
    with pytest.raises(SetupError, match="holds another run: its task is giaa, not fiaa"):
        train(dataclasses.replace(recipe, task="fiaa"))


def test_a_folder_is_the_same_however_it_is_written(bright, toy_model, tmp_path, monkeypatch):
    arguments = made_runs.arguments("giaa", epochs=1)
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run", arguments=arguments)
    monkeypatch.chdir(bright.parent)
    relative = dataclasses.replace(recipe, folder=Path(bright.name))
    train(relative)
    assert train(recipe).model.is_dir()
    assert len(list((tmp_path / "run/cache").glob("*.npy"))) == 1
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(bright, elsewhere / bright.name)
    monkeypatch.chdir(elsewhere)
    with pytest.raises(SetupError, match="holds another run: its folder is"):
        train(relative)


def test_another_seed_in_the_same_folder_is_refused(bright, toy_model, tmp_path):
    """It would draw other photos for validation: some of them were learned from."""

    def run(seed):
        arguments = made_runs.arguments("giaa", epochs=0, seed=seed)
        out = tmp_path / "run"
        return train(made_runs.recipe("giaa", bright, toy_model, out, arguments=arguments))

    run(1)
    with pytest.raises(SetupError, match="holds another run: its seed is 1, not 2"):
        run(2)
    file = tmp_path / "run/run.json"
    before = {k: v for k, v in json.loads(file.read_text()).items() if k != "seed"}
    file.write_text(json.dumps(before))
    assert run(1).model.is_dir(), "as earlier versions wrote it"


def test_another_number_of_photos_in_the_same_folder_is_refused(bright, toy_model, tmp_path):
    """As of another seed: a photo that was repaired changes which ones validate."""
    photo, out = bright / "7.png", tmp_path / "run"
    whole = photo.read_bytes()
    photo.unlink()

    def run():
        arguments = made_runs.arguments("giaa", epochs=0)
        recipe = made_runs.recipe("giaa", bright, toy_model, out, arguments=arguments)
        return train(dataclasses.replace(recipe, skip_unusable=True))

    run()
    photo.write_bytes(whole)
    assert run().skipped == 1
    shutil.rmtree(out / "cache")
    with pytest.raises(SetupError, match="its number_of_photos is 119, not 120"):
        run()
    file = out / "run.json"
    before = {k: v for k, v in json.loads(file.read_text()).items() if k != "number_of_photos"}
    file.write_text(json.dumps(before))
    assert run().model.is_dir(), "as earlier versions wrote it"


@pytest.mark.parametrize("task", ["giaa", "miaa", "piaa"])
def test_a_run_goes_on_without_photos_that_cannot_be_used(
    task, bright, captioned, opinionated, toy_model, tmp_path
):
    data = {"giaa": bright, "miaa": captioned, "piaa": opinionated}[task]
    (data / "7.png").unlink()
    (data / "8.png").write_bytes(b"no photo")
    arguments = made_runs.arguments(task, epochs=0)
    recipe = made_runs.recipe(task, data, toy_model, tmp_path / "run", arguments=arguments)
    with pytest.raises(DatasetError, match=r"2 of (120|60) photos") as caught:
        train(recipe)
    assert "7.png" in str(caught.value)
    assert "8.png" in str(caught.value)
    outcome = train(dataclasses.replace(recipe, skip_unusable=True))
    assert outcome.skipped == 2
    if task != "piaa":
        assert outcome.examples + outcome.held_out == 118


def test_an_attribute_that_only_skipped_photos_have_is_not_learned(tmp_path):
    made_runs.colours(tmp_path, 3)
    rows = [("0.png", 1, 2, 3), ("1.png", 2, "", 4), ("2.png", 3, "", 5)]
    made_runs.table(tmp_path, ["image", "score", "color", "light"], rows)
    dataset = read_dataset("folder", tmp_path)
    assert gather(TASKS["fiaa"], dataset, tmp_path, 8).attributes == ("aesthetic", "color", "light")
    (tmp_path / "0.png").unlink()
    examples = gather(TASKS["fiaa"], dataset, tmp_path / "anew", 8, skip_unusable=True)
    assert examples.attributes == ("aesthetic", "light")
    assert examples.photos.scores.tolist() == [[2, 4], [3, 5]]


def test_people_whose_photos_are_all_skipped_teach_nothing(opinionated, tmp_path):
    dataset = read_dataset("folder", opinionated)
    few = tuple(rating for rating in dataset.ratings if rating.sample == 0)
    (opinionated / dataset.samples[0].image).unlink()
    with pytest.raises(DatasetError, match="no photo of opinionated-train that people rated can"):
        gather(
            TASKS["piaa"], dataclasses.replace(dataset, ratings=few), tmp_path, 8,
            skip_unusable=True,
        )  # fmt: skip


def test_ratings_stay_with_their_photos_where_others_are_skipped(opinionated, tmp_path):
    (opinionated / "0.png").unlink()
    dataset = read_dataset("folder", opinionated)
    photos = gather(TASKS["piaa"], dataset, tmp_path, 8, skip_unusable=True).photos
    given = {(dataset.samples[r.sample].image, r.user): r.scores[0] for r in dataset.ratings}
    assert len(photos) == len(given) - 10
    for i, (name, user) in enumerate(zip(photos.names, photos.people, strict=True)):
        pixels, scores = photos.batch(np.array([i]))
        assert scores.item() == pytest.approx(given[name, user])
        plain = np.asarray(load_photo(opinionated / name).image)[0, 0]
        assert pixels[0, :, 0, 0].tolist() == plain.tolist()


def test_a_folder_in_which_another_process_trains_is_refused(bright, toy_model, tmp_path):
    recipe = made_runs.recipe(
        "giaa", bright, toy_model, tmp_path, arguments=made_runs.arguments("giaa", epochs=0)
    )
    with (
        alone(tmp_path / "run.lock"),
        pytest.raises(SetupError, match="another process trains in"),
    ):
        train(recipe)
    assert train(recipe).model.is_dir(), "when it is done, the next may"


def test_a_mistyped_option_does_not_keep_the_folder(bright, toy_model, tmp_path):
    arguments = made_runs.arguments("giaa", epochs=0)
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run", arguments=arguments)
    with pytest.raises(AesMambaError, match="nino"):
        train(dataclasses.replace(recipe, start=Start(model="nino")))
    assert train(recipe).model.is_dir()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": "viaa"}, "no task 'viaa'; choose one of giaa, fiaa, miaa, piaa"),
        ({"task": "miaa"}, "has no captions"),
        ({"task": "piaa"}, "has no ratings by individual people"),
        ({"validation": 1.5}, "a share of 1.5 cannot be held out"),
        ({"validation": "test"}, "no photos of the split 'test'; expected one of train"),
        ({"validation": "train"}, "120 examples of the split 'train', such as 0.png, are in"),
        ({"start": Start("nano", "nano")}, "an encoder or a model to begin from, not both"),
        ({"start": Start("nano", text="compact")}, "this task reads no text"),
        ({"teacher": "nano"}, "a teacher needs a weight"),
    ],
)
def test_what_cannot_be_carried_out_is_told(bright, toy_model, tmp_path, changes, expected):
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run")
    with pytest.raises((SetupError, DatasetError), match=expected):
        train(dataclasses.replace(recipe, **changes))


def test_other_people_may_validate_on_the_same_photos(opinionated, toy_model, tmp_path):
    table = opinionated / "labels.csv"
    table.write_text(re.sub(r"(,u[34],.*),train", r"\1,unseen", table.read_text()))
    short = made_runs.arguments("piaa", epochs=0)
    recipe = made_runs.recipe("piaa", opinionated, toy_model, tmp_path / "run", arguments=short)
    assert train(dataclasses.replace(recipe, validation="unseen")).held_out == 60


def test_too_large_a_batch_is_told(bright, toy_model, tmp_path):
    arguments = made_runs.arguments("giaa", batch_size=97)
    recipe = made_runs.recipe("giaa", bright, toy_model, tmp_path / "run", arguments=arguments)
    with pytest.raises(SetupError, match="96 training examples do not fill a batch of 97"):
        train(recipe)


def test_image_networks_of_transformers_are_one_option_away(bright, tmp_path):
    kind = {
        "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1],
        "layer_type": "basic",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(kind))
    recipe = made_runs.recipe("giaa", bright, tmp_path, tmp_path / "run")
    start = Start(encoder=str(tmp_path / "config.json"))
    outcome = train(dataclasses.replace(recipe, start=start))
    assert outcome.validation["srcc_aesthetic"] > 0.9
    with AesMamba(outcome.model, device="cpu") as sdk:
        scores = [sdk.score(bright / f"{i}.png").value for i in range(20)]
    light = made_runs.colours(tmp_path / "again", 20).mean(1)
    assert srcc(scores, light) > 0.8


def test_a_models_maps_and_scores_are_distilled(bright, toy_model, tmp_path):
    short = made_runs.arguments("fiaa", epochs=5)
    recipe = made_runs.recipe("fiaa", bright, toy_model, tmp_path / "teacher", arguments=short)
    teacher = train(recipe).model
    arguments = made_runs.arguments(
        "giaa", distillation=1.0, soft_targets=1.0, log_steps=1, epochs=12
    )
    student = toy.save_toy(tmp_path / "student", seed=1)
    recipe = made_runs.recipe("giaa", bright, student, tmp_path / "run", arguments=arguments)
    train(dataclasses.replace(recipe, teacher=str(teacher)))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    errors = [line["distillation"] for line in lines if "distillation" in line]
    assert errors[-1] < errors[0] / 2
    taught = [line["soft_targets"] for line in lines if "soft_targets" in line]
    assert taught[-1] < taught[0] / 2


def test_a_bert_folder_becomes_the_text_encoder(captioned, toy_model, tmp_path):
    bert = BertModel(BertConfig(**dataclasses.asdict(toy.CONFIG.text) | {"pooler": None}))
    bert.save_pretrained(tmp_path / "bert")
    toy.tokenizer().save(tmp_path / "bert")
    arguments = made_runs.arguments("miaa", epochs=0, learning_rate=0.0, final_rate=0.0)
    recipe = made_runs.recipe("miaa", captioned, toy_model, tmp_path / "run", arguments=arguments)
    outcome = train(dataclasses.replace(recipe, start=Start(text=str(tmp_path / "bert"))))
    kept = load_model(outcome.model).text.bert.state_dict()
    for name, value in bert.state_dict().items():
        if not name.startswith("pooler"):
            torch.testing.assert_close(kept[name], value, rtol=0, atol=0)


def test_matrices_may_be_multiplied_in_bfloat16(captioned, toy_model, tmp_path):
    arguments = made_runs.arguments("miaa", epochs=4, log_steps=5, bfloat16=True)
    recipe = made_runs.recipe("miaa", captioned, toy_model, tmp_path / "run", arguments=arguments)
    lines = train(recipe) and (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"loss"' in line]
    assert losses[-1] < losses[0]
    assert load_model(tmp_path / "run/model").heads.heads["aesthetic"].score[0].weight.dtype is (
        torch.float32
    )
