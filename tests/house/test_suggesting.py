"""What to rate next."""

from __future__ import annotations

from aesmamba_sdk import AesMamba
from tests import toy


def test_suggested_photos_are_new_and_leave_ever_less_doubt(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table, shots=10)
    found = sdk.suggest("alice", [*photos, *table.parent.glob("*.png"), "missing.png"], 5)
    assert len({s.path for s in found}) == 5
    assert not {s.path for s in found} & {r.path for r in sdk.ratings.list("alice")}
    doubts = [s.doubt for s in found]
    assert min(doubts) > 0
    assert doubts == sorted(doubts, reverse=True)
    assert max(doubts) < 1


def test_whoever_rated_nothing_gets_suggestions_from_a_model_that_knows_no_one(tmp_path, photos):
    toy.save_toy(tmp_path / "bare", reference=False)
    with AesMamba(tmp_path / "bare") as sdk:
        sdk.users.add("alice")
        assert len(sdk.suggest("alice", photos, 3)) == 3


def test_photos_that_are_passed_over_are_told(sdk, photos):
    photos[1].write_bytes(b"x")
    sdk.users.add("alice")
    failed, seen = [], []
    found = sdk.suggest(
        "alice", photos, 30, failed=failed.append, progress=lambda what, done, _: seen.append(done)
    )
    assert [failure.code for failure in failed] == ["photo_not_an_image"]
    assert str(photos[1]) in failed[0].message
    assert (len(found), seen) == (19, list(range(1, 21)))
