"""Parts of a library: each there whole or not at all, however often it is written."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.photos import EVERYTHING, Selection
from tests import toy

parquet = pytest.importorskip(
    "pyarrow.parquet", reason="pyarrow is not installed: pip install 'aesmamba-sdk[ray]'"
)
from aesmamba_sdk.cluster.parts import MOST_TRIES, Output, Plan, listing_hash  # noqa: E402
from aesmamba_sdk.cluster.portable import pack  # noqa: E402
from aesmamba_sdk.cluster.sources import _keep_secrets, _named_like, list_photos, read_all  # noqa: E402
from aesmamba_sdk.cluster.worker import Task, Worker  # noqa: E402


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 6)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "scores"


def plan(**changes):
    values = {
        "model": "toy@1",
        "user": None,
        "version": None,
        "attributes": False,
        "text": None,
        "part_size": 3,
        "photos": 6,
        "listing": listing_hash(["a", "b"]),
    }
    return Plan(**values | changes)


def work(worker, part, names):
    batch = {"part": np.array([part]), "names": [[os.fsencode(name) for name in names]]}
    return {name: value.tolist() for name, value in worker(batch).items()}


def rows(output):
    return parquet.read_table(output).to_pylist()


@pytest.fixture
def worker(sdk, output):
    def make(user=None, **options):
        task = {"attributes": False, "text": None, "device": "cpu", "threads": 1} | options
        Output(str(output)).begin(plan())
        return Worker(pack(sdk, user), Task(str(output), **task))

    return make


class TestOutput:
    def test_the_same_plan_goes_on_and_another_is_refused(self, output):
        assert Output(str(output)).begin(plan()) == set()
        (output / "part-000001.parquet").touch()
        (output / ".part-000000.parquet.1234").touch()  # of a worker that was killed
        assert Output(str(output)).begin(plan()) == {1}
        with pytest.raises(SetupError, match="user None, not 'alice'") as caught:
            Output(str(output)).begin(plan(user="alice"))
        assert caught.value.code == "output_taken"

    def test_a_folder_of_something_else_is_left_alone(self, output):
        output.mkdir()
        (output / "letter.txt").write_text("dear")
        with pytest.raises(SetupError, match="is not empty"):
            Output(str(output)).begin(plan())
        assert [file.name for file in output.iterdir()] == ["letter.txt"]

    def test_a_place_that_cannot_be_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(SetupError, match="file"):
            Output(str(tmp_path / "file")).begin(plan())
        with pytest.raises(SetupError, match="nonsense://x cannot be opened"):
            Output("nonsense://x")


class TestWorker:
    def test_scores_are_those_of_the_sdk_and_a_bad_photo_is_a_row(
        self, sdk, worker, photos, output
    ):
        photos[1].write_bytes(b"nonsense")
        told = work(worker(attributes=True), 0, map(str, photos))
        assert told == {"part": [0], "scored": [5], "failed": [1], "pid": [os.getpid()]}
        found = rows(output)
        assert [row["path"] for row in found] == list(map(str, photos))
        assert found[1]["error"]["code"] == "photo_not_an_image"
        assert found[1]["value"] is None
        for row, score in zip(found, sdk.score_many(photos, attributes=True), strict=True):
            if score.ok:
                expected = score.to_dict() | {"user": None, "generic": None, "std": None}
                assert row == expected | {"method": None, "error": None}
        assert Output(str(output)).failures(0) == 1

    def test_a_part_that_is_written_again_does_not_double_its_rows(self, worker, photos, output):
        worker = worker()
        for _ in range(2):
            work(worker, 0, map(str, photos[:3]))
        work(worker, 1, map(str, photos[3:]))
        assert [row["path"] for row in rows(output)] == list(map(str, photos))
        assert sorted(file.name for file in output.iterdir()) == [
            "_plan.json",
            "part-000000.parquet",
            "part-000001.parquet",
        ]

    def test_a_part_that_kills_its_workers_is_given_up(self, worker, photos, output):
        worker = worker()
        for _ in range(MOST_TRIES):
            Output(str(output)).try_again(4)  # and died
        with pytest.raises(RuntimeError, match="died with part 4"):
            work(worker, 4, map(str, photos))
        Output(str(output)).begin(plan())  # the next run tries again
        assert work(worker, 4, map(str, photos))["scored"] == [6]
        assert not list(output.glob(".*"))

    def test_a_person_goes_along_without_their_database(
        self, sdk, worker, photos, output, tmp_path, monkeypatch
    ):
        sdk.users.add("alice")
        rated = toy.write_ratings(toy.write_photos(tmp_path / "rated", 20, seed=1))
        sdk.personalize("alice", rated)
        expected = [score.to_dict() for score in sdk.score_many(photos, user="alice")]
        monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://nobody@127.0.0.1:1/none")
        work(worker("alice"), 0, map(str, photos))
        found = [{k: row[k] for k in expected[0]} for row in rows(output)]
        assert found == expected
        assert found[0]["method"] == "bayes"

    def test_a_worker_scores_in_the_precision_of_who_sends_it(self, toy_model, photos, output):
        fast = AesMamba(toy_model, precision="bfloat16")
        Output(str(output)).begin(plan())
        task = Task(str(output), attributes=False, text=None, device="cpu", threads=1)
        work(Worker(pack(fast, None), task), 0, [str(photos[0])])
        assert rows(output)[0]["value"] == fast.score(photos[0]).value
        with pytest.raises(SetupError, match="precision 'float32', not 'bfloat16'"):
            Output(str(output)).begin(plan(precision="bfloat16"))

    def test_photos_behind_uris_are_read_and_missing_ones_are_rows(
        self, sdk, worker, photos, output
    ):
        photos[2].unlink()
        names = [path.as_uri() for path in photos]
        names.insert(1, str(photos[0]))
        work(worker(), 0, names)
        found = rows(output)
        assert [row["path"] for row in found] == names
        assert found[3]["error"]["code"] == "photo_missing"
        assert found[0]["value"] == found[1]["value"] == sdk.score(photos[0]).value

    @pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
    def test_a_name_that_is_not_text_is_written_as_far_as_it_can_be(self, worker, photos, output):
        odd = os.fsdecode(os.fsencode(photos[0].parent) + b"/\xff.png")
        photos[0].rename(odd)
        work(worker(), 0, [odd])
        (row,) = rows(output)
        assert row["path"].endswith("/\\xff.png")
        assert row["value"] is not None


class TestListing:
    def test_uris_are_listed_as_folders_are(self, photos):
        folder = photos[0].parent
        (folder / "notes.txt").write_text("no photo")
        for hidden in (".trash", "raw"):
            (folder / hidden).mkdir()
            (folder / hidden / "x.jpg").write_bytes(b"x")
        (folder / ".hidden.jpg").write_bytes(b"x")
        names = list_photos([folder.as_uri()], EVERYTHING)
        assert names == [*(path.as_uri() for path in photos), (folder / "raw" / "x.jpg").as_uri()]
        chosen = Selection(include=("*.png",), exclude=("00[1-9]*",))
        assert list_photos([folder.as_uri()], chosen) == [photos[0].as_uri()]
        assert list_photos([str(folder), str(photos[0])], EVERYTHING) == [
            *map(str, photos),
            str(folder / "raw" / "x.jpg"),
        ]

    def test_names_are_uris_whatever_files_are_called(self, photos):
        folder = photos[0].parent.rename(photos[0].parent.with_name("müde Füße"))
        for old, new in zip(
            sorted(folder.iterdir()), ("a b.png", "50%.png", "#1?.png"), strict=False
        ):
            old.rename(folder / new)
        names = list_photos([folder.as_uri()], EVERYTHING)
        assert sorted(names) == sorted(path.as_uri() for path in folder.iterdir())
        assert list(read_all(names)) == [path.read_bytes() for path in sorted(folder.iterdir())]

    @pytest.mark.parametrize(
        ("uri", "path", "named"),
        [
            ("s3://bucket/a%20b/?region=x", "bucket/a b", "s3://bucket/a%20b/c.jpg?region=x"),
            ("hdfs://host:8020/a", "/a", "hdfs://host:8020/a/c.jpg"),
            ("file:///C:/a", "C:/a", "file:///C:/a/c.jpg"),
        ],
    )
    def test_names_lead_back_to_where_they_are_from(self, uri, path, named):
        assert _named_like(uri, path)(f"{path}/c.jpg") == named

    def test_a_path_that_its_uri_does_not_end_with_is_refused(self):
        with pytest.raises(SetupError, match="cannot be named by URIs of their own"):
            _named_like("abfs://box@host.net/a%20b", "box/a b")

    @pytest.mark.parametrize(
        "uri",
        [
            "s3://key:hidden@bucket/photos",
            "abfs://box/photos?client_secret=hidden",
            "abfs://box/photos?x=1&SAS-Token=hidden",
            "abfs://box/photos?account_key=hidden",
        ],
    )
    def test_a_password_is_kept_out_of_the_results(self, uri):
        with pytest.raises(SetupError, match="leave it out and set it in the env") as caught:
            list_photos([uri], EVERYTHING)
        assert "hidden" not in str(caught.value)

    def test_what_only_sounds_like_a_password_is_none(self):
        _keep_secrets("s3://sas-token/photos?endpoint_override=minio.kansas.local:9000&region=key")

    def test_what_is_no_uri_is_told(self):
        with pytest.raises(SetupError, match="a URI cannot be understood"):
            list_photos(["s3://bu[ck/a"], EVERYTHING)

    def test_what_cannot_be_reached_is_named(self):
        with pytest.raises(SetupError, match="a space is written %20"):
            list_photos(["file:///a b"], EVERYTHING)
        with pytest.raises(SetupError, match="nonsense://bucket cannot be opened"):
            list_photos(["nonsense://bucket"], EVERYTHING)


def test_the_plan_is_plain_json(output):
    Output(str(output)).begin(plan(user="alice", version=2))
    kept = json.loads((output / "_plan.json").read_text())
    assert (kept["user"], kept["version"], kept["schema"]) == ("alice", 2, 1)
