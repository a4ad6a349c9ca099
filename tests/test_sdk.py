"""The facade: what an app does with photos and people."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import (
    CheckpointError,
    PersonalizeError,
    PhotoError,
    RatingsError,
    SetupError,
    UserNotFoundError,
)
from aesmamba_sdk.metrics import srcc
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.ratings import read_choices
from aesmamba_sdk.scores import Scale
from tests import toy


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 20)


@pytest.fixture
def table(tmp_path):
    return toy.write_ratings(toy.write_photos(tmp_path / "rated", 40, seed=1))


class TestScoring:
    def test_a_score_is_never_a_bare_number(self, sdk, photos):
        score = sdk.score(photos[0], attributes=True)
        assert 1 <= score.value <= 5
        assert score.scale == Scale(1.0, 5.0)
        assert 0 <= score.percentile <= 1
        assert set(score.attributes) == {"aesthetic", "color"}
        assert score.attributes["aesthetic"] == score.value
        assert score.model.startswith("toy@")
        assert (score.user, score.generic, score.std, score.method) == (None,) * 4
        json.dumps(score.to_dict(), allow_nan=False)

    def test_path_bytes_image_and_array_score_the_same(self, sdk, photos):
        with Image.open(photos[0]) as image:
            sources = [photos[0], str(photos[0]), photos[0].read_bytes(), image.copy()]
            sources.append(np.asarray(image))
        assert len({sdk.score(source).value for source in sources}) == 1

    def test_a_text_is_refused_where_nothing_was_learned_from_captions(self, sdk, photos):
        with pytest.raises(CheckpointError, match="not trained on captions") as caught:
            sdk.score(photos[0], text="so bright")
        assert caught.value.code == "no_captions"

    def test_a_text_and_a_user_are_not_read_together(self, sdk, photos):
        with pytest.raises(SetupError, match="leave out the user or the text"):
            sdk.score(photos[0], user="anna", text="so bright")

    def test_a_folder_streams_in_order_past_bad_photos(self, sdk, photos):
        photos[4].write_bytes(b"")
        scores = list(sdk.score_many(photos[0].parent))
        assert [s.path for s in scores] == [str(p) for p in photos]
        assert [s.error.code for s in scores if s.error] == ["photo_empty"]
        assert scores[4].to_dict()["error"]["code"] == "photo_empty"
        assert scores[5].value == sdk.score(photos[5]).value

    def test_one_bad_photo_alone_raises(self, sdk, tmp_path):
        with pytest.raises(PhotoError, match=r"gone\.jpg"):
            sdk.score(tmp_path / "gone.jpg")

    def test_ranking_is_by_score_with_failures_last(self, sdk, photos):
        photos[0].write_bytes(b"x")
        ranked = sdk.rank(photos)
        values = [s.value for s in ranked[:-1]]
        assert values == sorted(values, reverse=True)
        assert ranked[-1].error is not None
        assert len(sdk.rank(photos, top=3)) == 4, "the failure is told beside the top three"

    def test_percentile_is_the_rank_among_reference_photos(self, sdk, photos):
        scores = sdk.rank(photos)
        reference = sdk.backbone.scores(sdk.backbone.reference)[:, 0]
        for score in scores:
            assert score.percentile == pytest.approx((reference < score.value).mean(), abs=0.011)

    def test_many_threads_share_one_object(self, toy_model, photos):
        results = []
        with AesMamba(toy_model, device="cpu") as sdk:

            def work():
                results.append([s.value for s in sdk.score_many(photos)])

            threads = [threading.Thread(target=work) for _ in range(6)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        assert len(results) == 6
        assert np.allclose(results, results[0])

    def test_an_unknown_model_names_those_there_are(self, photos):
        with pytest.raises(CheckpointError, match="no model 'nino'"):
            AesMamba("nino").score(photos[0])

    @pytest.mark.parametrize("device", ["banana", "cuda:7"])
    def test_a_device_that_is_not_there_is_named(self, toy_model, photos, device):
        with pytest.raises(SetupError, match=f"device '{device}' cannot be used"):
            AesMamba(toy_model, device=device).score(photos[0])

    @pytest.mark.parametrize("told", ["argument", "variable"])
    def test_threads_are_torchs(self, toy_model, photos, monkeypatch, told):
        before = torch.get_num_threads()
        if told == "variable":
            monkeypatch.setenv("AESMAMBA_THREADS", "2")
        try:
            AesMamba(toy_model, threads=2 if told == "argument" else None).score(photos[0])
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    @pytest.mark.parametrize("value", ["0", "many", "-2"])
    def test_a_bad_number_of_threads_is_named(self, monkeypatch, value):
        monkeypatch.setenv("AESMAMBA_THREADS", value)
        with pytest.raises(SetupError, match=f"AESMAMBA_THREADS={value}"):
            AesMamba()

    def test_unknown_users_are_told_before_any_photo_is_read(self, sdk):
        with pytest.raises(UserNotFoundError, match="alice"):
            sdk.score_many(["nowhere.jpg"], user="alice")


class TestPeople:
    def test_without_ratings_a_user_gets_the_generic_score(self, sdk, photos):
        sdk.users.add("alice", openness=4)
        score = sdk.score(photos[0], user="alice")
        assert (score.method, score.user) == ("generic", "alice")
        assert score.value == score.generic == sdk.score(photos[0]).value

    def test_a_taste_is_learned_from_a_table(self, sdk, photos, table):
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

    def test_the_percentile_of_a_user_is_under_their_own_model(self, sdk, photos, table):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        scores = sdk.rank(photos, user="alice")
        assert [s.percentile for s in scores] == sorted(
            (s.percentile for s in scores), reverse=True
        )
        reference = sdk._scoring("alice", False).personal.reference_values
        assert scores[0].percentile == pytest.approx(
            (reference < scores[0].value).mean(), abs=0.011
        )

    def test_opposite_tastes_rank_the_same_photos_the_other_way(self, sdk, photos, tmp_path):
        for name, likes_light in (("alice", True), ("bob", False)):
            rated = toy.write_photos(tmp_path / name, 40, seed=1)
            sdk.users.add(name)
            sdk.personalize(name, toy.write_ratings(rated, likes_light=likes_light))
        alice, bob = ([s.value for s in sdk.score_many(photos, user=u)] for u in ("alice", "bob"))
        assert srcc(alice, bob) < -0.5

    def test_ratings_are_kept_and_count_the_next_time(self, sdk, table, tmp_path):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        more = toy.write_ratings(toy.write_photos(tmp_path / "more", 10, seed=2))
        assert sdk.personalize("alice", more).shots == 50
        report = sdk.personalize("alice")
        assert (report.shots, report.version) == (50, 3)
        assert [m.version for m in sdk.models.list("alice") if m.active] == [3]

    def test_raw_ratings_of_another_scale_are_kept_as_given(self, sdk, tmp_path):
        paths = toy.write_photos(tmp_path / "rated", 3)
        table = tmp_path / "rated" / "ratings.csv"
        table.write_text(
            "file,score\n" + "".join(f"{p.name},{7 - i}\n" for i, p in enumerate(paths))
        )
        sdk.users.add("alice")
        sdk.personalize("alice", table, scale=Scale(1, 7))
        first = next(r for r in sdk.ratings.list("alice") if r.path == str(paths[0]))
        assert (first.raw_score, first.score, first.raw_scale) == (7, 5, Scale(1, 7))

    def test_a_dry_run_leaves_nothing(self, sdk, photos, table, home):
        sdk.users.add("alice")
        report = sdk.personalize("alice", table, dry_run=True)
        assert report.version is None
        assert report.srcc > 0.5
        assert sdk.ratings.list("alice") == []
        assert sdk.score(photos[0], user="alice").method == "generic"
        assert [f for f in (home / "personal").rglob("*") if f.is_file()] == []

    def test_shots_are_chosen_by_the_seed(self, sdk, table):
        sdk.users.add("alice")
        reports = [
            sdk.personalize("alice", table, shots=10, seed=s, dry_run=True) for s in (1, 1, 2)
        ]
        assert [r.shots for r in reports] == [10] * 3
        assert reports[0].mae == reports[1].mae != reports[2].mae

    def test_bad_rows_and_photos_are_named_and_left_out(self, sdk, table):
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

    def test_photos_that_moved_still_count_while_their_features_are_known(self, sdk, table, home):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        (table.parent / "000.png").rename(table.parent / "moved.png")
        assert sdk.personalize("alice").shots == 40
        reading = sdk.personalize("alice", method="lora-stage", dry_run=True)
        assert (reading.shots, "000.png is gone" in reading.problems[0]) == (39, True)
        sdk.close()
        (home / "cache" / "embeddings.db").unlink()
        report = sdk.personalize("alice")
        assert report.shots == 39
        assert "000.png" in report.problems[0]

    def test_ratings_can_be_given_one_by_one_of_files_or_of_images_in_memory(self, sdk, photos):
        sdk.users.add("alice")
        first = sdk.rate("alice", photos[0], 7, scale=Scale(1, 7), group="burst")
        assert (first.score, first.raw_score, first.path) == (5, 7, str(photos[0]))
        for photo in photos[1:]:
            stars = 1 + 4 * toy.brightness(photo)
            sdk.rate("alice", photo.read_bytes(), stars, name=photo.name, source="app")
        kept = sdk.ratings.list("alice")
        assert [r.path for r in kept] == [str(photos[0]), *(p.name for p in photos[1:])]
        assert sdk.personalize("alice").shots == 20
        with pytest.raises(RatingsError, match="9 is not on its scale of 1-5"):
            sdk.rate("alice", photos[0], 9)
        with pytest.raises(PhotoError, match="not an image"):
            sdk.rate("alice", b"nonsense", 3)

    def test_computers_that_share_a_database_share_personal_models(
        self, toy_model, photos, table, tmp_path, monkeypatch
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

    def test_whoever_is_removed_during_training_leaves_no_model(self, sdk, table, home):
        sdk.users.add("alice")

        def remove(what, done, total):
            if what == "training":
                sdk.users.remove("alice")

        with pytest.raises(UserNotFoundError):
            sdk.personalize("alice", table, progress=remove)
        assert list((home / "personal").iterdir()) == []

    def test_of_two_runs_at_once_one_wins_and_the_other_says_so(self, sdk, photos, table, home):
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

    def test_killed_at_any_moment_the_model_from_before_serves(self, sdk, photos, table):
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

    def test_choices_alone_teach_a_taste(self, sdk, photos, tmp_path):
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
        with pytest.raises(PersonalizeError, match="not from choices"):
            sdk.personalize("alice", choices=pairs, method="lora")

    def test_several_people_are_scored_in_one_pass(self, sdk, photos, table):
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

    def test_an_earlier_model_can_serve_again(self, sdk, photos, table):
        sdk.users.add("alice")
        sdk.personalize("alice", table, shots=10)
        first = sdk.score(photos[0], user="alice").value
        sdk.personalize("alice")
        assert sdk.score(photos[0], user="alice").value != first
        sdk.models.use("alice", 1)
        assert sdk.score(photos[0], user="alice").value == first

    def test_suggested_photos_are_new_and_leave_ever_less_doubt(self, sdk, photos, table):
        sdk.users.add("alice")
        sdk.personalize("alice", table, shots=10)
        found = sdk.suggest("alice", [*photos, *table.parent.glob("*.png"), "missing.png"], 5)
        assert len({s.path for s in found}) == 5
        assert not {s.path for s in found} & {r.path for r in sdk.ratings.list("alice")}
        doubts = [s.doubt for s in found]
        assert min(doubts) > 0
        assert doubts == sorted(doubts, reverse=True)
        assert max(doubts) < 1

    def test_no_ratings_is_an_error_that_says_what_to_do(self, sdk, tmp_path):
        sdk.users.add("alice")
        with pytest.raises(PersonalizeError, match="rated photos"):
            sdk.personalize("alice")
        with pytest.raises(RatingsError, match=r"ratings\.csv"):
            sdk.personalize("alice", tmp_path)

    def test_a_new_backbone_asks_to_learn_again_from_stored_ratings(
        self, sdk, table, tmp_path, photos
    ):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        with AesMamba(toy.save_toy(tmp_path / "new", seed=1), device="cpu") as renewed:
            with pytest.raises(PersonalizeError, match="personalize again"):
                renewed.score(photos[0], user="alice")
            assert renewed.personalize("alice").shots == 40
            assert renewed.score(photos[0], user="alice").user == "alice"

    def test_removing_a_user_leaves_nothing_of_them(self, sdk, table, home):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        assert any((home / "personal").rglob("*.safetensors"))
        sdk.remove_user("alice")
        assert not any((home / "personal").rglob("*.safetensors"))
        assert sdk.users.list() == []

    @pytest.mark.parametrize("method", ["lora-stage", "lora-all"])
    def test_an_adapter_in_the_encoder_serves_like_any_other(self, sdk, photos, table, method):
        sdk.users.add("alice")
        assert sdk.personalize("alice", table, method=method).method == "lora"
        first, again = ([s.value for s in sdk.score_many(photos, user="alice")] for _ in range(2))
        assert first == again
        assert srcc(first, [toy.brightness(p) for p in photos]) > 0.5
        assert sdk.score(photos[0], user="alice").percentile is None

    def test_a_model_without_fusion_learns_a_head_but_takes_no_adapter(
        self, tmp_path, photos, table
    ):
        import dataclasses

        from aesmamba_sdk.model.aesmamba import AesMamba as Network
        from aesmamba_sdk.model.folder import save_model

        save_model(Network(dataclasses.replace(toy.CONFIG, text=None)), tmp_path / "v")
        with AesMamba(tmp_path / "v") as sdk:
            assert sdk.score(photos[0]).percentile is None
            sdk.users.add("alice")
            with pytest.raises(PersonalizeError, match="no fusion"):
                sdk.personalize("alice", table, method="lora")
            report = sdk.personalize("alice", table)
            assert report.method == "bayes"
            assert report.notes[0].startswith("v has no taste.safetensors")

    def test_cancelling_keeps_the_model_from_before(self, sdk, photos, table, home):
        class CancelledError(Exception):
            pass

        def cancel(what, done, total):
            if what == "training" and done == 7:
                raise CancelledError

        sdk.users.add("alice")
        sdk.personalize("alice", table)
        before = sdk.score(photos[0], user="alice")
        with pytest.raises(CancelledError):
            sdk.personalize("alice", table, method="lora", progress=cancel)
        assert sdk.score(photos[0], user="alice") == before
        assert not list((home / "personal").rglob(".partial-*"))

    def test_every_photo_says_how_sure_its_score_is(self, sdk, photos, table):
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        deviations = [score.std for score in sdk.score_many(photos, user="alice")]
        assert len(set(deviations)) > 1
        assert min(deviations) > 0
