"""Ratings are kept once a photo; of a person's models at most one serves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from aesmamba_sdk.errors import PersonalizeError, RatingsError, UserNotFoundError
from aesmamba_sdk.profiles.model_store import ModelStore
from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
from aesmamba_sdk.profiles.tables import ModelFileRow, ModelRow
from aesmamba_sdk.profiles.users import Users
from aesmamba_sdk.scores import UNIT_SCORES, Scale

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(database):
    Users(database).add("alice")
    Users(database).add("bob")
    return database


@pytest.fixture
def ratings(database):
    return RatingStore(database)


@pytest.fixture
def models(database):
    return ModelStore(database)


def test_ratings_come_back_as_saved_oldest_first(ratings):
    late = Rating("p1", "a.jpg", 4.0, 5.5, Scale(1, 7), {"color": 2.5}, "ratings.csv", NOON)
    early = rating("p2", at=NOON - timedelta(hours=1))
    assert ratings.save("alice", [late, early]) == 2
    assert ratings.list("alice") == [early, late]
    assert ratings.list("bob") == []


def test_the_later_of_two_ratings_of_a_photo_counts(ratings):
    assert ratings.save("alice", [rating("p1", 1.0), rating("p2"), rating("p1", 2.0)]) == 2
    assert ratings.save("alice", [rating("p2", 5.0)]) == 1
    assert {r.photo_id: r.score for r in ratings.list("alice")} == {"p1": 2.0, "p2": 5.0}


def test_people_rate_the_same_photo_independently(ratings):
    ratings.save("alice", [rating("p1", 1.0)])
    ratings.save("bob", [rating("p1", 5.0)])
    assert [r.score for r in ratings.list("alice") + ratings.list("bob")] == [1.0, 5.0]


def test_many_ratings_are_saved_and_counted(ratings, database):
    many = [rating(f"p{n}") for n in range(40_000)]
    assert ratings.save("alice", many) == 40_000
    assert Users(database).get("alice").ratings == 40_000
    assert ratings.remove("alice") == 40_000


def test_no_ratings_are_no_problem(ratings):
    assert ratings.save("alice", []) == 0
    assert ratings.remove("alice") == 0


def test_some_or_all_ratings_are_removed(ratings):
    ratings.save("alice", [rating("p1"), rating("p2"), rating("p3")])
    ratings.save("bob", [rating("p1")])
    assert ratings.remove("alice", ["p1", "unrated"]) == 1
    assert ratings.remove("alice", []) == 0
    assert [r.photo_id for r in ratings.list("alice")] == ["p2", "p3"]
    assert ratings.remove("alice") == 2
    assert len(ratings.list("bob")) == 1


def test_a_file_name_that_is_no_text_is_kept(ratings):
    odd = Rating("p1", "caf\udce9.jpg", 3.0, 3.0, UNIT_SCORES, {}, "ratings.csv", NOON)
    ratings.save("alice", [odd])
    assert ratings.list("alice") == [odd]


def test_times_of_any_zone_come_back_as_utc(ratings):
    ratings.save("alice", [rating("p1", at=NOON.astimezone(timezone(timedelta(hours=9))))])
    kept = ratings.list("alice")[0].rated_at
    assert (kept, kept.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 6}, "score 6 is no number of 1-5"),
        ({"score": float("nan")}, "score nan"),
        ({"raw_score": 8}, "raw_score 8 is no number of 1-7"),
        ({"attributes": {"color": 0}}, "attributes.color 0"),
        ({"photo_id": ""}, "photo_id '' of .* is none"),
        ({"path": None}, "path must be text"),
        ({"rated_at": datetime(2024, 1, 1)}, "no time zone"),
    ],
)
def test_impossible_ratings_are_refused(change, message):
    fields = {"photo_id": "p", "path": "p.jpg", "score": 3.0, "raw_score": 3.0}
    with pytest.raises(RatingsError, match=message):
        Rating(**(fields | {"raw_scale": Scale(1, 7)} | change))


def test_the_first_model_is_version_one_and_serves(models, database):
    assert (models.next_version("alice"), models.active("alice")) == (1, None)
    model = activate(models, 1)
    assert models.active("alice") == model == Users(database).get("alice").model
    assert (model.user, model.folder, model.report) == ("alice", "alice/1", {"gain": 0.1})
    assert models.next_version("alice") == 2
    assert models.list("bob") == []


def test_the_files_of_a_model_are_kept_until_the_person_is_removed(models, database):
    files = {"head.safetensors": bytes(range(256)), "sub/personal.json": b"{}"}
    activate(models, 1, files=files)
    activate(models, 2)
    assert models.files("alice", 1) == files
    assert models.files("alice", 2) == models.files("alice", 3) == models.files("bob", 1) == {}
    Users(database).remove("alice")
    with database.read() as session:
        assert session.scalars(select(ModelFileRow)).all() == []


def test_a_newer_model_takes_the_place_of_the_active_one(models):
    activate(models, 1)
    activate(models, 2)
    assert [(m.version, m.active) for m in models.list("alice")] == [(1, False), (2, True)]


def test_an_earlier_version_can_serve_again(models):
    activate(models, 1)
    activate(models, 2)
    assert models.use("alice", 1) == models.active("alice")
    assert [(m.version, m.active) for m in models.list("alice")] == [(1, True), (2, False)]
    assert models.next_version("alice") == 3
    assert models.use("alice", 2).version == 2


def test_an_unknown_version_is_refused_with_the_known_ones(models):
    activate(models, 1)
    activate(models, 2)
    with pytest.raises(PersonalizeError, match=r"no model of version 7; there are: 1, 2"):
        models.use("alice", 7)
    assert models.active("alice").version == 2


def test_of_two_trainings_of_one_version_the_later_is_told(models):
    first = activate(models, 1)
    with pytest.raises(PersonalizeError, match="version 1 of 'alice'") as caught:
        activate(models, 1, folder="alice/1-again")
    assert caught.value.code == "personalize_conflict"
    assert models.list("alice") == [first]


def test_of_many_trainings_at_once_one_wins_each_version(models):
    def attempt(number: int) -> str:
        try:
            return activate(models, 1, folder=f"alice/{number}").folder
        except PersonalizeError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(4)))
    assert results.count("personalize_conflict") == 3
    assert models.active("alice").folder in results


def test_the_database_itself_allows_one_active_model_a_person(models, database):
    activate(models, 1)
    activate(models, 2)
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(update(ModelRow).values(active=True))
    assert models.active("alice").version == 2


@pytest.mark.parametrize("folder", ["", ".", "/etc", "../bob", "a/../../b", "C:\\x", "..\\bob"])
def test_a_folder_outside_the_personal_folder_is_refused(models, folder):
    with pytest.raises(PersonalizeError, match="inside it"):
        activate(models, 1, folder=folder)


def test_a_report_that_is_not_json_is_refused(models):
    with pytest.raises(PersonalizeError, match="not strict JSON"):
        activate(models, 1, report={"gain": float("nan")})


def test_features_go_with_the_rating_that_they_were_kept_with(ratings):
    seen = {f"p{n}": bytes([n % 256]) for n in range(2000)}
    given = [rating(photo_id) for photo_id in seen]
    ratings.save("alice", given, features=seen, encoder="nano")
    assert ratings.features(list(seen), "nano") == seen
    assert ratings.features(list(seen), "other") == {}
    ratings.save("alice", [rating("p1", 5.0)], features={"p1": b"anew"}, encoder="other")
    assert ratings.features(["p0", "p1"], "nano") == {"p0": bytes(1)}
    assert ratings.features(["p0", "p1"], "other") == {"p1": b"anew"}
    ratings.save("alice", [rating("p2")])
    ratings.remove("alice", ["p3"])
    assert ratings.features(["p2", "p3"], "nano") == {}


def test_only_known_people_have_ratings_and_models(ratings, models):
    for attempt in (
        lambda: ratings.save("alicia", [rating("p1")]),
        lambda: ratings.list("alicia"),
        lambda: models.next_version("alicia"),
        lambda: models.active("alicia"),
    ):
        with pytest.raises(UserNotFoundError, match="did you mean 'alice'"):
            attempt()


def test_what_a_photo_belongs_with_is_not_forgotten_when_it_is_rated_again(ratings):
    ratings.save("alice", [replace(rating("p1"), group="burst 1"), rating("p2")])
    ratings.save("alice", [rating("p1", 4.0), replace(rating("p2", 4.0), group="burst 2")])
    assert [(r.score, r.group) for r in ratings.list("alice")] == [(4, "burst 1"), (4, "burst 2")]


def test_numbers_of_numpy_are_kept_as_any_other(ratings):
    given = Rating(
        "p1", "a.jpg", np.int64(4), np.float32(2.5), Scale(0, 5), {"color": np.float32(3.5)}
    )
    ratings.save("alice", [given])
    found = ratings.list("alice")[0]
    assert (found.score, found.raw_score, found.attributes) == (4.0, 2.5, {"color": 3.5})
    assert {type(v) for v in (given.score, given.raw_score, given.attributes["color"])} == {float}


def test_sources_and_groups_named_after_files_that_are_no_text_are_kept_readable(ratings):
    ratings.save("alice", [replace(rating("p1"), source="im\udcff.jpg.xmp", group="im\udcff")])
    found = ratings.list("alice")[0]
    assert (found.source, found.group) == ("im\ufffd.jpg.xmp", "im\ufffd")


def test_a_model_can_be_retired(models):
    activate(models, 1)
    models.retire("alice")
    assert models.active("alice") is None
    assert models.use("alice", 1).active


def rating(photo_id: str, score: float = 3.0, *, at: datetime = NOON) -> Rating:
    return Rating(photo_id, f"{photo_id}.jpg", score, score, UNIT_SCORES, {}, "ratings.csv", at)


def activate(models: ModelStore, version: int, **changes):
    fields = {
        "folder": f"alice/{version}",
        "method": "ridge",
        "backbone": "abc",
        "shots": 10,
        "report": {"gain": 0.1},
    }
    return models.activate("alice", version=version, **(fields | changes))
