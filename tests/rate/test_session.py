"""Rating a folder: what is offered, kept and learned."""

from __future__ import annotations

import shutil

import pytest

from aesmamba_sdk.errors import PhotoError, RatingsError, SetupError, UserNotFoundError
from aesmamba_sdk.rate.session import OFFERED, RatingSession
from tests import toy

COUNT = 40


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "trip", COUNT)


@pytest.fixture
def session(sdk, photos):
    sdk.users.add("alice")
    return RatingSession(sdk, "alice", [str(photos[0].parent)])


def stars(path):
    return round(1 + 4 * toy.brightness(path))


def learned(session):
    assert session.learn()
    session.learning.wait()
    return session.learning


def test_photos_are_offered_as_the_sdk_suggests_them(session, sdk, photos):
    suggested = [s.path for s in sdk.suggest("alice", photos[0].parent, OFFERED)]
    assert [session.path(i) for i in session.offered()] == suggested
    assert session.offered() == session.offer(0)


def test_more_are_offered_by_what_was_said_meanwhile_and_each_once(session, sdk, photos):
    first = session.offered()
    for photo in first[:10]:
        session.rate(photo, stars(session.path(photo)))
    rest = [str(p) for i, p in enumerate(photos) if i not in first]
    suggested = [s.path for s in sdk.suggest("alice", rest, OFFERED)]
    assert [session.path(i) for i in session.offer(len(first))] == suggested
    assert sorted(session.offered()) == list(range(COUNT))
    assert session.offer(COUNT) == []


def test_a_rating_is_kept_at_once_replaced_and_taken_back(session, sdk):
    session.rate(3, 5)
    session.rate(3, 2)
    session.rate(7, 4)
    kept = {r.path: (r.score, r.source) for r in sdk.ratings.list("alice")}
    assert kept == {session.path(3): (2, "aesmamba rate"), session.path(7): (4, "aesmamba rate")}
    session.forget(3)
    session.forget(5)
    assert session.ratings() == {7: 4}
    assert session.rated() == 1


def test_a_later_session_knows_earlier_ratings_and_offers_others(session, sdk, photos):
    session.rate(0, 5)
    again = RatingSession(sdk, "alice", [str(photos[0].parent)])
    assert again.ratings() == {0: 5}
    assert 0 not in again.offered()


def test_each_content_counts_once_and_failures_are_named(sdk, photos):
    shutil.copy(photos[2], photos[0].parent / "copy.png")
    photos[4].write_bytes(b"")
    sdk.users.add("alice")
    session = RatingSession(sdk, "alice", [str(photos[0].parent)])
    assert len(session.photos) == COUNT - 1
    assert str(photos[2]) in session.photos
    assert [failure.code for failure in session.failures] == ["photo_empty"]


def test_what_cannot_be_rated_is_said(session, sdk, photos, tmp_path):
    photos[1].unlink()
    with pytest.raises(PhotoError, match=r"001\.png"):
        session.rate(1, 3)
    with pytest.raises(RatingsError, match="not on its scale"):
        session.rate(2, 6)
    for number in (-1, COUNT):
        with pytest.raises(IndexError):
            session.rate(number, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="no photos to rate in"):
        RatingSession(sdk, "alice", [str(tmp_path / "empty")])
    with pytest.raises(UserNotFoundError, match="nobody"):
        RatingSession(sdk, "nobody", ["never looked at"])


def test_learning_ranks_before_and_after(session, sdk, photos):
    everyone = {s.path: s.value for s in sdk.score_many(photos)}
    for photo in session.offered():
        session.rate(photo, stars(session.path(photo)))
    first = learned(session).result
    assert not first.personal_before
    assert first.report.shots == OFFERED
    assert [session.path(p.photo) for p in first.ranking] == [
        s.path for s in sdk.rank(photos, user="alice")
    ]
    assert all(p.before == everyone[session.path(p.photo)] for p in first.ranking)
    again = learned(session).result
    assert again.personal_before
    assert [p.before for p in again.ranking] == [p.after for p in first.ranking]


def test_scores_before_are_known_as_personal_though_the_first_photo_is_gone(session, photos):
    for photo in session.offered():
        session.rate(photo, stars(session.path(photo)))
    assert not learned(session).result.personal_before
    photos[0].unlink()
    again = learned(session).result
    assert again.personal_before
    assert 0 not in [ranked.photo for ranked in again.ranking]


def test_learning_that_fails_says_why_and_may_be_tried_again(session):
    session.rate(0, 3)
    failed = learned(session)
    assert (failed.state, failed.error.code) == ("failed", "too_few_ratings")
    session.rate(1, 5)
    assert learned(session).state == "done"


def test_a_photo_that_changes_while_it_is_read_is_named(sdk, photos):
    """As an export that is being written, or a file that its file system numbers anew."""
    sdk.users.add("alice")

    def touch(what, done, total):
        if done == COUNT:
            toy.photo(0.5, seed=77).resize((90, 60)).save(photos[3])

    session = RatingSession(sdk, "alice", [str(photos[0].parent)], progress=touch)
    assert len(session.photos) == COUNT - 1
    assert [failure.code for failure in session.failures] == ["photo_changed"]
    assert f"{photos[3]} changed" in session.failures[0].message
