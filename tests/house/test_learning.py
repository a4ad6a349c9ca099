"""From rated photos to the model that serves, or an error that leaves the one from before."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import (
    AesMambaError,
    PersonalizeError,
    RatingsError,
    UserNotFoundError,
)
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.model.folder import save_model
from aesmamba_sdk.ratings import read_choices
from aesmamba_sdk.scores import UNIT_SCORES, Scale
from tests import toy


def test_a_taste_is_learned_from_a_table(sdk, photos, table):
    sdk.users.add("alice", openness=4)
    told = []
    report = sdk.personalize("alice", table, progress=lambda *event: told.append(event))
    assert (report.user, report.version, report.shots, report.problems) == ("alice", 1, 40, [])
    assert report.srcc > report.generic_srcc
    assert report.size < 1_000_000
    assert {what for what, _, _ in told} == {"photos", "training"}
    assert told[-1][1] == told[-1][2]
    light = [toy.brightness(p) for p in photos]
    personal = list(sdk.score_many(photos, user="alice"))
    assert srcc([s.value for s in personal], light) > 0.8
    assert [s.generic for s in personal] == [s.value for s in sdk.score_many(photos)]
    assert all(s.std > 0 and s.method == "bayes" for s in personal)


def test_opposite_tastes_rank_the_same_photos_the_other_way(sdk, photos, tmp_path):
    for name, likes_light in (("alice", True), ("bob", False)):
        rated = toy.write_photos(tmp_path / name, 40, seed=1)
        sdk.users.add(name)
        sdk.personalize(name, toy.write_ratings(rated, likes_light=likes_light))
    alice, bob = ([s.value for s in sdk.score_many(photos, user=u)] for u in ("alice", "bob"))
    assert srcc(alice, bob) < -0.5


def test_choices_alone_teach_a_taste(sdk, photos, tmp_path):
    order = sorted(photos, key=toy.brightness)
    pairs = [(order[i + 6], order[i]) for i in range(14)]
    lines = ["better,worse", *(f"{a.name},{b.name}" for a, b in pairs), "gone.png,000.png"]
    table = photos[0].parent / "choices.csv"
    table.write_text("\n".join(lines) + "\n")
    sdk.users.add("alice")
    report = sdk.personalize("alice", choices=read_choices(table))
    assert (report.shots, report.method) == (0, "bayes")
    assert "gone.png" in report.problems[0]
    scores = [score.value for score in sdk.score_many(order, user="alice")]
    generic = [score.value for score in sdk.score_many(order)]
    assert srcc(scores, range(20)) > max(0.7, srcc(generic, range(20)))
    for method in ("affine", "lora"):
        with pytest.raises(PersonalizeError, match="not from choices"):
            sdk.personalize("alice", choices=pairs, method=method)


def test_a_choice_between_copies_of_a_photo_is_named_and_teaches_nothing(sdk, photos):
    copy = photos[0].with_name("copy.png")
    shutil.copy(photos[0], copy)
    sdk.users.add("alice")
    with pytest.raises(PersonalizeError, match=r"copy\.png is the same photo as .*000\.png"):
        sdk.personalize("alice", choices=[(copy, photos[0])])
    report = sdk.personalize("alice", choices=[(copy, photos[0]), (photos[1], photos[2])])
    assert (report.choices, len(report.problems)) == (1, 1)


def test_one_rating_beside_them_does_not_undo_what_choices_taught(sdk, photos):
    order = sorted(photos, key=toy.brightness)
    pairs = [(order[i + 6], order[i]) for i in range(14)]
    sdk.users.add("alice")
    sdk.rate("alice", order[10], 3)
    report = sdk.personalize("alice", choices=pairs)
    assert (report.shots, report.choices, report.method, report.srcc) == (1, 14, "bayes", None)
    assert report.trust > 0.5


def test_ratings_are_kept_and_count_the_next_time(sdk, table, tmp_path):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    more = toy.write_ratings(toy.write_photos(tmp_path / "more", 10, seed=2))
    assert sdk.personalize("alice", more).shots == 50
    report = sdk.personalize("alice")
    assert (report.shots, report.version) == (50, 3)
    assert [m.version for m in sdk.models.list("alice") if m.active] == [3]


def test_a_dry_run_leaves_nothing(sdk, photos, table, home):
    sdk.users.add("alice")
    report = sdk.personalize("alice", table, dry_run=True)
    assert report.version is None
    assert report.srcc > 0.5
    assert sdk.ratings.list("alice") == []
    assert sdk.score(photos[0], user="alice").method == "generic"
    assert [f for f in (home / "personal").rglob("*") if f.is_file()] == []


def test_shots_are_chosen_by_the_seed(sdk, table):
    sdk.users.add("alice")
    reports = [sdk.personalize("alice", table, shots=10, seed=s, dry_run=True) for s in (1, 1, 2)]
    assert [r.shots for r in reports] == [10] * 3
    assert reports[0].mae == reports[1].mae != reports[2].mae


def test_bad_rows_and_photos_are_named_and_left_out(sdk, table):
    folder = table.parent
    (folder / "005.png").write_bytes(b"")
    shutil.copy(folder / "001.png", folder / "copy.png")
    with table.open("a") as stream:
        stream.write("nowhere.png,3\ncopy.png,4\n001.png,9\n")
    sdk.users.add("alice")
    report = sdk.personalize("alice", table)
    assert report.shots == 39
    for told in ("nowhere.png", "005.png is empty", "same photo", "9"):
        assert any(told in problem for problem in report.problems), told


def test_photos_that_moved_still_count_while_their_features_are_known(sdk, table, home):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    (table.parent / "000.png").rename(table.parent / "moved.png")
    assert sdk.personalize("alice").shots == 40
    reading = sdk.personalize("alice", method="lora-stage", dry_run=True)
    assert (reading.shots, "000.png does not exist; its" in reading.problems[0]) == (39, True)
    sdk.close()
    (home / "cache" / "embeddings.db").unlink()
    report = sdk.personalize("alice")
    assert report.shots == 39
    assert "000.png" in report.problems[0]


def test_no_ratings_is_an_error_that_says_what_to_do(sdk, tmp_path):
    sdk.users.add("alice")
    with pytest.raises(PersonalizeError, match=r"no usable rating.*rate at least 2 photos"):
        sdk.personalize("alice")
    with pytest.raises(RatingsError, match=r"ratings\.csv"):
        sdk.personalize("alice", tmp_path)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"method": "lara"}, "no method 'lara'; there are: auto, affine, bayes, lora"),
        ({"shots": -1}, "shots=-1"),
        ({"seed": -1, "shots": 3}, "seed=-1: give a number from 0 to 4294967295"),
        ({"seed": 2**64, "method": "lora"}, "seed=18446744073709551616: give"),
        ({"rejects": "highest"}, "rejects='highest' is none of: skip, lowest"),
    ],
)
def test_what_was_misspelt_is_never_taken_for_the_default(sdk, photos, wrong, told):
    sdk.users.add("alice")
    with pytest.raises(AesMambaError, match=told):
        sdk.personalize("alice", photos[0].parent, **wrong)


def test_a_model_without_fusion_learns_a_head_but_takes_no_adapter(tmp_path, photos, table):
    from aesmamba_sdk.model.aesmamba import AesMamba as Network

    save_model(Network(dataclasses.replace(toy.CONFIG, text=None)), tmp_path / "v")
    with AesMamba(tmp_path / "v") as sdk:
        assert sdk.score(photos[0]).percentile is None
        sdk.users.add("alice")
        with pytest.raises(PersonalizeError, match="no fusion"):
            sdk.personalize("alice", table, method="lora")
        report = sdk.personalize("alice", table)
        assert report.method == "bayes"
        assert report.notes[0].startswith("v has no taste.safetensors")


def test_whoever_is_removed_during_training_leaves_no_model(sdk, table, home):
    sdk.users.add("alice")

    def remove(what, done, total):
        if what == "training":
            sdk.users.remove("alice")

    with pytest.raises(UserNotFoundError):
        sdk.personalize("alice", table, progress=remove)
    assert list((home / "personal").iterdir()) == []


def test_of_two_runs_at_once_one_wins_and_the_other_says_so(sdk, photos, table, home):
    sdk.users.add("alice")
    inner = []

    def meanwhile(what, done, total):
        if what == "training" and not inner:
            inner.append(None)
            inner.append(sdk.personalize("alice", table))

    with pytest.raises(PersonalizeError, match="another training finished first") as caught:
        sdk.personalize("alice", table, progress=meanwhile)
    assert caught.value.code == "personalize_conflict"
    assert [m.version for m in sdk.models.list("alice")] == [inner[1].version] == [1]
    assert len(list((home / "personal").glob("*/*"))) == 1
    assert sdk.score(photos[0], user="alice").method == "bayes"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_cancelling_keeps_the_model_from_before(sdk, photos, table, home, method):
    class CancelledError(Exception):
        pass

    def cancel(what, done, total):
        if what == "training" and done == 7:
            raise CancelledError

    sdk.users.add("alice")
    sdk.personalize("alice", table)
    before = sdk.score(photos[0], user="alice")
    with pytest.raises(CancelledError):
        sdk.personalize("alice", table, method=method, progress=cancel)
    assert sdk.score(photos[0], user="alice") == before
    assert not list((home / "personal").rglob(".partial-*"))


def test_killed_at_any_moment_the_model_from_before_serves(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    before = sdk.score(photos[0], user="alice")
    sdk.close()
    rng = np.random.default_rng(0)
    finished = 0
    for delay in rng.uniform(0, 0.25, 12):
        child = os.fork()
        if child == 0:
            with AesMamba(sdk.backbone.folder, device="cpu") as own:
                own.personalize("alice", table)
            os._exit(0)
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        finished += status == 0
        with AesMamba(sdk.backbone.folder, device="cpu") as reopened:
            served = reopened.score(photos[0], user="alice")
            assert served.value == pytest.approx(before.value, abs=1e-6)
            versions = [m.version for m in reopened.models.list("alice")]
            assert versions == list(range(1, len(versions) + 1))
    assert finished < 12, "no run was killed"
    assert sdk.personalize("alice").version == len(versions) + 1


def test_too_few_ratings_are_told_with_what_was_wrong_with_the_others(sdk, table):
    table.write_text("file,score\n000.png,3\n001.png,60\n002.png,80\n")
    sdk.users.add("alice")
    with pytest.raises(PersonalizeError, match=r"has 1 usable rating.*First problem: .*60"):
        sdk.personalize("alice", table)


def test_methods_that_read_photos_anew_leave_out_those_that_were_changed(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    shutil.copy(photos[0], table.parent / "003.png")
    reading = sdk.personalize("alice", method="lora-stage", dry_run=True)
    assert reading.shots == 39
    assert "003.png is no longer the photo that was rated" in reading.problems[0]


def test_whoever_takes_the_name_of_a_removed_person_gets_nothing_of_theirs(sdk, table):
    sdk.users.add("alice")

    def swap(what, done, total):
        if what == "photos" and done == 1:
            sdk.remove_user("alice")
            sdk.users.add("alice")

    with pytest.raises(UserNotFoundError, match="somebody else has that name"):
        sdk.personalize("alice", table, progress=swap)
    assert sdk.ratings.list("alice") == []

    sdk.import_ratings("alice", table)

    def swap_later(what, done, total):
        if what == "training" and done == total:
            sdk.users.remove("alice")
            sdk.users.add("alice")

    with pytest.raises(UserNotFoundError, match="somebody else has that name"):
        sdk.personalize("alice", progress=swap_later)
    assert sdk.models.list("alice") == []


def test_a_folder_that_is_removed_during_training_is_told(sdk, table):
    sdk.users.add("alice")

    def remove(what, done, total):
        if what == "training" and done == total:
            sdk.remove_user("alice")

    with pytest.raises(PersonalizeError, match="was removed meanwhile"):
        sdk.personalize("alice", table, progress=remove)


@pytest.mark.parametrize("scale", [Scale(0, 1), Scale(1, 10)])
def test_on_any_scale_a_person_is_believed_alike(tmp_path, photos, table, scale):
    """What a step of 1-5 is worth is no constant of models that score on other scales."""
    spreads, trusts = [], []
    for name, wanted in (("usual", UNIT_SCORES), ("other", scale)):
        network = toy.model()
        with torch.no_grad():
            for head in network.heads.heads.values():
                head.score[2].bias.fill_(wanted.low + wanted.width / 2)
                head.score[2].weight.mul_(wanted.unit)
        network.config = dataclasses.replace(toy.CONFIG, scale=wanted)
        save_model(network, tmp_path / name)
        with AesMamba(tmp_path / name, home=tmp_path / f"home-{name}") as sdk:
            sdk.users.add("alice")
            few = sdk.personalize("alice", table, shots=3)
            assert few.method == "affine"
            unknown = sdk.score(photos[0], user="alice").std / wanted.unit
            report = sdk.personalize("alice", table)
            stds = [s.std / wanted.unit for s in sdk.score_many(photos, user="alice")]
            spreads.append([unknown, *stds])
            trusts.append(report.trust)
    np.testing.assert_allclose(spreads[1], spreads[0], rtol=0.02)
    assert trusts[1] == pytest.approx(trusts[0], abs=0.02)


def test_what_photos_belong_with_counts_in_the_run_that_rates_them_again(sdk, table):
    sdk.users.add("alice")
    plain = sdk.personalize("alice", table)
    text = table.read_text().splitlines()
    grouped = [f"{line},shot {i // 4}" for i, line in enumerate(text[1:])]
    table.write_text("\n".join([f"{text[0]},group", *grouped]) + "\n")
    together = sdk.personalize("alice", table)
    assert together.mae != plain.mae
    table.write_text("\n".join(text) + "\n")
    assert sdk.personalize("alice", table).mae == together.mae
