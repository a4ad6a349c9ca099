"""Scores, for everyone and by the model that serves a person."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from aesmamba_sdk import AesMamba, scoring
from aesmamba_sdk.errors import (
    CheckpointError,
    PersonalizeError,
    PhotoError,
    SetupError,
    UserNotFoundError,
)
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.scores import Scale
from tests import toy


def test_a_score_is_never_a_bare_number(sdk, photos):
    score = sdk.score(photos[0], attributes=True)
    assert 1 <= score.value <= 5
    assert score.scale == Scale(1.0, 5.0)
    assert 0 <= score.percentile <= 1
    assert set(score.attributes) == {"aesthetic", "color"}
    assert score.attributes["aesthetic"] == score.value
    assert score.model.startswith("toy@")
    assert (score.user, score.generic, score.std, score.method) == (None,) * 4
    json.dumps(score.to_dict(), allow_nan=False)


def test_path_bytes_image_and_array_score_the_same(sdk, photos):
    with Image.open(photos[0]) as image:
        sources = [photos[0], str(photos[0]), photos[0].read_bytes(), image.copy()]
        sources.append(np.asarray(image))
    assert len({sdk.score(source).value for source in sources}) == 1


def test_one_photo_of_any_kind_may_stand_where_several_may(sdk, photos):
    with Image.open(photos[0]) as image:
        array = np.asarray(image)
        sources = [photos[0], str(photos[0]), photos[0].read_bytes(), image, array]
        found = [score.value for source in sources for score in sdk.score_many(source)]
    assert found == [sdk.score(photos[0]).value] * 5
    assert [score.value for score in sdk.score_many(np.stack([array] * 2))] == found[:2]
    assert [score.error.code for score in sdk.score_many(None)] == ["photo_array"]


@pytest.mark.parametrize("user", [None, "anna"])  # whose model looks at photos a second time
def test_images_and_arrays_may_be_closed_or_filled_anew_once_the_next_is_asked_for(
    sdk, photos, table, user
):
    if user is not None:
        sdk.users.add(user)
        sdk.personalize(user, table, method="lora-stage")
    array = np.empty((40, 60, 3), np.uint8)

    def images():
        for path in photos:
            with Image.open(path) as image:
                yield image

    def frames():
        for path in photos:
            with Image.open(path) as image:
                array[:] = np.asarray(image)
            yield array

    expected = [score.value for score in sdk.score_many(photos, user=user)]
    assert [score.value for score in sdk.score_many(images(), user=user)] == expected
    assert [score.value for score in sdk.score_many(frames(), user=user)] == expected


def test_a_text_is_refused_where_nothing_was_learned_from_captions(sdk, photos):
    with pytest.raises(CheckpointError, match="not trained on captions") as caught:
        sdk.score(photos[0], text="so bright")
    assert caught.value.code == "no_captions"


def test_a_text_and_a_user_are_not_read_together(sdk, photos):
    with pytest.raises(SetupError, match="leave out the user or the text"):
        sdk.score(photos[0], user="anna", text="so bright")


def test_photos_from_the_cache_score_as_they_do_alone_however_many_are_on_their_way(
    sdk, photos, monkeypatch
):
    monkeypatch.setattr(scoring, "_CACHED_BATCH", 3)
    photos[4].write_bytes(b"")
    list(sdk.score_many(photos))  # fills the cache
    scores = list(sdk.score_many(photos))
    assert [s.path for s in scores] == [str(p) for p in photos]
    assert [s.error is None for s in scores] == [p != photos[4] for p in photos]
    alone = [sdk.score(p).value for p in photos if p != photos[4]]
    assert [s.value for s in scores if s.ok] == pytest.approx(alone, abs=1e-6)


def test_a_folder_streams_in_order_past_bad_photos(sdk, photos):
    photos[4].write_bytes(b"")
    scores = list(sdk.score_many(photos[0].parent))
    assert [s.path for s in scores] == [str(p) for p in photos]
    assert [s.error.code for s in scores if s.error] == ["photo_empty"]
    assert scores[4].to_dict()["error"]["code"] == "photo_empty"
    assert scores[5].value == sdk.score(photos[5]).value


@pytest.mark.parametrize("batch", [2048, 20])  # larger than what there is, or the same
def test_photos_named_before_an_error_are_scored_before_it_is_raised(
    sdk, photos, monkeypatch, batch
):
    monkeypatch.setattr(scoring, "_CACHED_BATCH", batch)
    sdk.users.add("anna")

    def failing():
        yield from photos
        raise OSError("the disk has gone")

    for options in ({}, {}, {"users": ["anna", "anna"]}):  # decoded, then from the cache
        scores = []
        with pytest.raises(OSError, match="the disk has gone"):
            scores.extend(sdk.score_many(failing(), **options))
        people = len(options.get("users", [None]))
        assert [score.path for score in scores[::people]] == [str(photo) for photo in photos]
        assert len(scores) == people * len(photos)


def test_one_bad_photo_alone_raises(sdk, tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.jpg"):
        sdk.score(tmp_path / "gone.jpg")


def test_ranking_is_by_score_with_failures_last(sdk, photos):
    photos[0].write_bytes(b"x")
    ranked = sdk.rank(photos)
    values = [s.value for s in ranked[:-1]]
    assert values == sorted(values, reverse=True)
    assert ranked[-1].error is not None
    assert len(sdk.rank(photos, top=3)) == 4, "the failure is told beside the top three"


def test_percentile_is_the_rank_among_reference_photos(sdk, photos):
    scores = sdk.rank(photos)
    reference = sdk.backbone.scores(sdk.backbone.reference)[:, 0]
    for score in scores:
        assert score.percentile == pytest.approx((reference < score.value).mean(), abs=0.011)


def test_unknown_users_are_told_before_any_photo_is_read(sdk):
    with pytest.raises(UserNotFoundError, match="alice"):
        sdk.score_many(["nowhere.jpg"], user="alice")


def test_without_ratings_a_user_gets_the_generic_score(sdk, photos):
    sdk.users.add("alice", openness=4)
    score = sdk.score(photos[0], user="alice")
    assert (score.method, score.user) == ("generic", "alice")
    assert score.value == score.generic == sdk.score(photos[0]).value


def test_the_percentile_of_a_user_is_under_their_own_model(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    scores = sdk.rank(photos, user="alice")
    assert [s.percentile for s in scores] == sorted((s.percentile for s in scores), reverse=True)
    reference = sdk._house.scorings.of("alice", False).personal.reference_values
    assert scores[0].percentile == pytest.approx((reference < scores[0].order).mean(), abs=0.011)


def test_every_photo_says_how_sure_its_score_is(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    deviations = [score.std for score in sdk.score_many(photos, user="alice")]
    assert len(set(deviations)) > 1
    assert min(deviations) > 0


def test_several_people_are_scored_in_one_pass(sdk, photos, table):
    for name in ("alice", "bob"):
        sdk.users.add(name)
    sdk.personalize("alice", table)
    expected = {u: list(sdk.score_many(photos, user=u)) for u in ("alice", "bob")}
    bad = photos[0].parent / "notes.png"
    bad.write_text("no photo")
    found = list(sdk.score_many([*photos, bad], users=["bob", "alice"]))
    assert [s.user for s in found] == ["bob", "alice"] * 21
    assert found[0:40:2] == expected["bob"]
    assert found[1:40:2] == expected["alice"]
    assert all(s.error is not None for s in found[40:])
    sdk.personalize("bob", table, method="lora-stage")
    with pytest.raises(PersonalizeError, match="bob's model encodes photos itself"):
        sdk.score_many(photos, users=["alice", "bob"])


@pytest.mark.parametrize("beside", [{"user": "anna"}, {"text": "so bright"}])
def test_several_people_are_asked_for_alone(sdk, photos, beside):
    with pytest.raises(SetupError, match="without a text, and without another user"):
        sdk.score_many(photos, users=["anna", "bob"], **beside)


@pytest.mark.parametrize("source", [None, 7, {"path": "a.jpg"}])
def test_what_is_no_photo_at_all_is_named_by_its_type(sdk, source):
    with pytest.raises(PhotoError, match=f"RGB array, not {type(source).__name__}"):
        sdk.score(source)


def test_an_earlier_model_can_serve_again(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table, shots=10)
    first = sdk.score(photos[0], user="alice").value
    sdk.personalize("alice")
    assert sdk.score(photos[0], user="alice").value != first
    sdk.models.use("alice", 1)
    assert sdk.score(photos[0], user="alice").value == first


@pytest.mark.parametrize("method", ["lora-stage", "lora-all"])
def test_an_adapter_in_the_encoder_serves_like_any_other(sdk, photos, table, method):
    sdk.users.add("alice")
    assert sdk.personalize("alice", table, method=method).method == "lora"
    first, again = ([s.value for s in sdk.score_many(photos, user="alice")] for _ in range(2))
    assert first == pytest.approx(again, abs=1e-6)  # batches differ
    assert srcc(first, [toy.brightness(p) for p in photos]) > 0.5
    assert sdk.score(photos[0], user="alice").percentile is None


def test_a_new_backbone_asks_to_learn_again_from_stored_ratings(sdk, table, tmp_path, photos):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    with AesMamba(toy.save_toy(tmp_path / "new", seed=1), device="cpu") as renewed:
        with pytest.raises(PersonalizeError, match="personalize again"):
            renewed.score(photos[0], user="alice")
        assert renewed.personalize("alice").shots == 40
        assert renewed.score(photos[0], user="alice").user == "alice"


def test_computers_that_share_a_database_share_personal_models(
    toy_model, photos, table, tmp_path, monkeypatch
):
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path / 'shared.db'}")
    with (
        AesMamba(toy_model, device="cpu", home=tmp_path / "one") as one,
        AesMamba(toy_model, device="cpu", home=tmp_path / "two") as two,
    ):
        one.users.add("alice")
        one.personalize("alice", table)
        first = one.score(photos[0], user="alice")
        assert first.method == "bayes"
        assert two.score(photos[0], user="alice") == first
        two.personalize("alice", toy.write_ratings(photos))
        again = two.score(photos[0], user="alice")
        assert again.value != first.value
        assert one.score(photos[0], user="alice") == again
        # The name may be another person's by now, and the version the same.
        two.remove_user("alice")
        two.users.add("alice")
        dark = toy.write_ratings(photos, likes_light=False)
        two.personalize("alice", dark)
        assert one.score(photos[0], user="alice") == two.score(photos[0], user="alice")
        assert one.score(photos[0], user="alice").value != first.value


def test_the_end_of_the_scale_does_not_undo_a_ranking(sdk, photos, table):
    """A generous person's best photos all have 5.0, and one of them is the best all the same."""
    sdk.users.add("alice")
    rated = sorted(table.parent.glob("*.png"))
    lines = [f"{photo.name},{min(5, 1 + 8 * toy.brightness(photo))}" for photo in rated]
    table.write_text("\n".join(["file,score", *lines]))
    sdk.personalize("alice", table)
    best = [s for s in sdk.rank(photos, user="alice") if s.value == s.scale.high]
    assert len(best) > 3
    assert [s.unclipped for s in best] == sorted((s.unclipped for s in best), reverse=True)
    assert [s.path for s in best] != sorted(s.path for s in best)
    assert best[0].percentile >= best[-1].percentile
    assert "unclipped" not in best[0].to_dict()
