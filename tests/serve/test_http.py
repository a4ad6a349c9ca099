"""An app that is not Python: scores, people, ratings and taste over HTTP."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aesmamba_sdk import AesMamba
from aesmamba_sdk.serve.settings import Settings
from tests.serve.client import running


def finished(client, job):
    """The job, once it has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job = client.get(f"/v1/jobs/{job['id']}").json
        if job["finished_at"] is not None:
            return job
        time.sleep(0.02)
    raise TimeoutError(job)


class TestScoring:
    def test_one_photo_gives_the_record_of_the_sdk(self, sdk, client, photos):
        answer = client.post("/v1/score?attributes=true", photos[0])
        assert (answer.status, answer.json) == (
            200,
            sdk.score(photos[0], attributes=True).to_dict(),
        )
        raw = {"Content-Type": "application/octet-stream"}
        assert client.post("/v1/score", photos[0], headers=raw).json["value"] is not None

    def test_several_photos_are_answered_in_order_past_bad_ones(self, sdk, client, photos):
        sent = [("a.png", photos[0]), ("bad.png", b"x"), ("dark/ü.png", photos[1]), ("", photos[0])]
        answer = client.post_photos("/v1/scores", sent)
        records = answer.json["scores"]
        assert answer.status == 200
        assert [r["path"] for r in records] == ["a.png", "bad.png", "dark/ü.png", ""]
        assert records[1]["error"]["code"] == "photo_not_an_image"
        alone = [sdk.score(photo).value for photo in photos[:2]]
        assert [r["value"] for r in records[::2]] == pytest.approx(alone, abs=1e-6)

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("/v1/score", b"", 422, "photo_empty"),
            ("/v1/score", b"nonsense", 422, "photo_not_an_image"),
            ("/v1/score?user=bob", None, 404, "user_not_found"),
            ("/v1/score?user=bob&text=nice", None, 422, "invalid_request"),
            ("/v1/score?text=nice", None, 422, "no_captions"),
            ("/v1/score?attributes=perhaps", None, 422, "invalid_request"),
            ("/v1/score?atributes=true", None, 422, "invalid_request"),
            ("/v2/score", None, 404, "not_found"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_shape(self, client, photos, path, body, status, code):
        answer = client.post(path, photos[0] if body is None else body)
        assert (answer.status, answer.code) == (status, code)
        assert answer.json["error"]["message"]

    def test_a_bomb_is_refused_from_its_header(self, client):
        import struct
        import zlib

        def chunk(kind, data):
            return (
                struct.pack(">I", len(data))
                + kind
                + data
                + struct.pack(">I", zlib.crc32(kind + data))
            )

        size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        )
        answer = client.post("/v1/score", bomb)
        assert (answer.status, answer.code) == (413, "photo_too_large")

    def test_bodies_of_other_types_are_told_what_to_send(self, client, photos):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post("/v1/score", photos[0], headers=form)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
        assert "image/jpeg" in answer.json["error"]["message"]
        assert client.post("/v1/scores", photos[0]).code == "unsupported_media_type"
        assert client.post_photos("/v1/scores", []).status == 422

    def test_too_many_photos_in_one_form_are_refused(self, sdk, photos):
        with running(sdk, settings=Settings(max_photos=2)) as client:
            assert client.post_photos("/v1/scores", [("a", photos[0])] * 3).status == 400
            assert client.post_photos("/v1/scores", [("a", photos[0])] * 2).status == 200

    def test_requests_that_wait_are_scored_together_and_get_their_own_scores(
        self, toy_model, photos
    ):
        batches, gate = [], threading.Event()

        class Watched(AesMamba):
            def score_many(self, batch, **options):
                gate.wait()
                batches.append(len(batch))
                return super().score_many(batch, **options)

        with Watched(toy_model, device="cpu") as sdk, running(sdk) as client:
            with ThreadPoolExecutor(9) as pool:
                answers = [pool.submit(client.post, "/v1/score", photo) for photo in photos[:9]]
                time.sleep(0.5)
                assert client.get("/v1/health").status == 200, "the server answers meanwhile"
                gate.set()
            values = [answer.result().json["value"] for answer in answers]
            assert values == pytest.approx([sdk.score(p).value for p in photos[:9]], abs=1e-5)
        assert len(batches) < 9
        assert sum(batches) == 9

    def test_the_model_is_described(self, sdk, client):
        model = client.get("/v1/model").json
        assert (model["id"], model["scale"]) == (sdk.backbone.id, [1.0, 5.0])
        assert model["attributes"] == ["aesthetic", "color"]
        assert (model["percentiles"], model["captions"]) == (True, False)


class TestPeople:
    def test_people_are_added_changed_listed_and_forgotten(self, sdk, client):
        traits = {"openness": 4, "photo_experience": "expert", "age": "30"}
        added = client.post("/v1/users", json_body={"name": "alice", "traits": traits})
        assert (added.status, added.json["traits"]) == (201, traits)
        client.post("/v1/users", json_body={"name": "Bob Ö"})
        assert [u["name"] for u in client.get("/v1/users").json["users"]] == ["alice", "Bob Ö"]
        assert client.get("/v1/users/Bob%20%C3%96").json["name"] == "Bob Ö"
        changed = client.ask(
            "PATCH", "/v1/users/alice", json_body={"traits": {"age": None, "openness": 5}}
        )
        assert changed.json["traits"] == {"openness": 5, "photo_experience": "expert"}
        assert "openness score is 5" in changed.json["prompt"]
        assert client.ask("DELETE", "/v1/users/alice").status == 204
        assert client.get("/v1/users/alice").code == "user_not_found"
        assert [user.name for user in sdk.users.list()] == ["Bob Ö"]

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"name": "Alice"}, 409, "user_exists"),
            ({"name": "a/b"}, 422, "user_name"),
            ({"name": "bob", "traits": {"openness": 11}}, 422, "invalid_request"),
            ({"name": "bob", "traits": {"hair": "red"}}, 422, "invalid_request"),
            ({"nom": "bob"}, 422, "invalid_request"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, sdk, client, body, status, code):
        sdk.users.add("alice")
        answer = client.post("/v1/users", json_body=body)
        assert (answer.status, answer.code) == (status, code)
        assert [user.name for user in sdk.users.list()] == ["alice"]

    def test_ratings_are_kept_listed_and_forgotten(self, sdk, client, photos):
        sdk.users.add("alice")
        place = "/v1/users/alice/ratings"
        query = "?score=7&low=1&high=7&photo=beach.jpg&group=burst"
        rated = client.post(place + query, photos[0])
        assert (rated.status, rated.json["score"], rated.json["raw_score"]) == (201, 5, 7)
        assert (rated.json["path"], rated.json["group"]) == ("upload:beach.jpg", "burst")
        client.post(place + "?score=2", photos[0])
        (kept,) = client.get(place).json["ratings"]
        assert (kept["photo_id"], kept["score"]) == (rated.json["photo_id"], 2)
        assert client.ask("DELETE", f"{place}/{kept['photo_id']}").status == 204
        assert client.ask("DELETE", f"{place}/{kept['photo_id']}").code == "rating_not_found"
        assert sdk.ratings.list("alice") == []

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("", "invalid_request"),
            ("?score=6", "ratings"),
            ("?score=2&low=3&high=1", "ratings"),
            ("?score=nan", "invalid_request"),
            ("?score=3&photo=..%2Fx.jpg", "invalid_request"),
            ("?score=3&group=%00", "invalid_request"),
        ],
    )
    def test_ratings_that_make_no_sense_are_refused(self, sdk, client, photos, query, code):
        sdk.users.add("alice")
        answer = client.post(f"/v1/users/alice/ratings{query}", photos[0])
        assert (answer.status, answer.code) == (422, code)
        assert client.post("/v1/users/bob/ratings?score=3", photos[0]).code == "user_not_found"


class TestJobs:
    def test_a_taste_is_learned_from_uploaded_photos(self, sdk, client, photos):
        client.post("/v1/users", json_body={"name": "alice"})
        for i, photo in enumerate(photos):
            client.post(f"/v1/users/alice/ratings?score={1 + i % 5}", photo)
        started = client.post("/v1/users/alice/personalize", json_body={"method": "bayes"})
        assert started.status == 202
        assert started.headers["Location"] == f"/v1/jobs/{started.json['id']}"
        job = finished(client, started.json)
        assert (job["state"], job["user"], job["error"]) == ("done", "alice", None)
        assert (job["report"]["shots"], job["report"]["version"]) == (20, 1)
        assert job["progress"] == {"what": "training", "done": 1, "total": 1}
        record = client.post("/v1/score?user=alice", photos[0]).json
        assert record == sdk.score(photos[0], user="alice").to_dict()
        assert record["method"] == "bayes"
        assert client.get("/v1/users/alice").json["model"] == {"version": 1, "method": "bayes"}
        dry = client.post("/v1/users/alice/personalize", json_body={"dry_run": True}).json
        assert finished(client, dry)["report"]["version"] is None

    def test_a_job_that_fails_says_why(self, sdk, client):
        sdk.users.add("alice")
        job = finished(client, client.post("/v1/users/alice/personalize").json)
        assert (job["state"], job["error"]["code"]) == ("failed", "too_few_ratings")
        assert client.post("/v1/users/bob/personalize").code == "user_not_found"
        assert client.get("/v1/jobs/unknown").code == "job_not_found"

    def test_jobs_wait_for_each_other_and_can_be_cancelled(self, toy_model, photos):
        gate = threading.Event()

        class Gated(AesMamba):
            def personalize(self, *arguments, **options):
                gate.wait()
                return super().personalize(*arguments, **options)

        with (
            Gated(toy_model, device="cpu") as sdk,
            running(sdk, settings=Settings(max_jobs=2)) as client,
        ):
            for name in ("alice", "bob"):
                sdk.users.add(name)
            for photo in photos[:3]:
                sdk.rate("alice", photo, 3)
            first = client.post("/v1/users/alice/personalize").json
            second = client.post("/v1/users/bob/personalize").json
            full = client.post("/v1/users/bob/personalize")
            assert (full.status, full.code, full.headers["Retry-After"]) == (503, "busy", "10")
            states = {job["id"]: job["state"] for job in client.get("/v1/jobs").json["jobs"]}
            assert states == {first["id"]: "running", second["id"]: "queued"}
            assert client.post(f"/v1/jobs/{second['id']}/cancel").json["state"] == "cancelled"
            assert client.post(f"/v1/jobs/{first['id']}/cancel").json["state"] == "running"
            gate.set()
            assert finished(client, first)["state"] == "cancelled"
            assert client.post(f"/v1/jobs/{first['id']}/cancel").json["state"] == "cancelled"
            assert sdk.models.list("alice") == []
            client.ask("DELETE", "/v1/users/alice")
            assert [job["user"] for job in client.get("/v1/jobs").json["jobs"]] == ["bob"]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="their file names are text")
def test_names_of_rated_files_that_are_no_text_are_told_as_python_has_them(
    sdk, client, photos, tmp_path
):
    sdk.users.add("alice")
    paths = [str(tmp_path / f"{i}\udcff.png") for i in range(3)]
    for path, data in zip(paths, photos, strict=False):
        with open(path, "wb") as stream:  # noqa: PTH123
            stream.write(data)
        sdk.rate("alice", path, 3)
    listed = client.get("/v1/users/alice/ratings")
    assert listed.status == 200
    assert [rating["path"] for rating in listed.json["ratings"]] == paths
    sdk.close()
    shutil.rmtree(sdk.embeddings.file.parent)
    os.remove(paths[0])  # noqa: PTH107
    done = finished(client, client.post("/v1/users/alice/personalize").json)
    assert any(paths[0] in problem for problem in done["report"]["problems"])


def test_requests_are_logged_without_names_and_photos(client, photos, caplog):
    with caplog.at_level(logging.INFO, "aesmamba_sdk.serve.requests"):
        client.post("/v1/users", json_body={"name": "alice"})
        client.post("/v1/users/alice/ratings?score=3&photo=beach.jpg", photos[0])
        client.get("/v1/model", headers={"Authorization": "Bearer wrong"})
        while len(caplog.records) < 3:  # a line is written once its answer has left
            time.sleep(0.01)
    first, rated, refused = (record.fields for record in caplog.records)
    assert rated.pop("ms") > 0
    assert rated == {
        "method": "POST",
        "route": "/v1/users/{user}/ratings",
        "status": 201,
        "bytes": len(photos[0]),
    }
    assert (first["status"], refused["status"], refused["route"]) == (201, 401, None)
