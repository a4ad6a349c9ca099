"""What to rate next."""

from __future__ import annotations


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
