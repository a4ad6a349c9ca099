"""Photos and results in buckets, on a server that speaks S3's protocol."""

from __future__ import annotations

import numpy as np
import pytest

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import EVERYTHING, Selection
from tests import toy

moto_server = pytest.importorskip(
    "moto.server", reason="moto's server is not installed: pip install 'moto[s3]' flask flask-cors"
)
parquet = pytest.importorskip("pyarrow.parquet")
from pyarrow import fs  # noqa: E402

from aesmamba_sdk.cluster.parts import Output, Plan, listing_hash  # noqa: E402
from aesmamba_sdk.cluster.portable import pack  # noqa: E402
from aesmamba_sdk.cluster.sources import list_photos, read_all  # noqa: E402
from aesmamba_sdk.cluster.worker import Task, Worker  # noqa: E402

NAMES = ("beach.jpg", "müde Füße.jpg", "50% off #1?.jpg", "trip/2 hills.jpg")


@pytest.fixture(scope="module")
def server():
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """A bucket of photos: what its URIs end with, and its file system."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    system = fs.S3FileSystem(
        endpoint_override=server, scheme="http", region="us-east-1", allow_bucket_creation=True
    )
    system.create_dir("photos")
    system.create_dir("scores")
    for name, photo in zip(NAMES, toy.write_photos(tmp_path / "made", len(NAMES)), strict=True):
        _put(system, f"photos/{name}", photo.read_bytes())
    _put(system, "photos/.hidden/x.jpg", b"")
    _put(system, "photos/notes.txt", b"")
    yield f"?endpoint_override={server}&scheme=http&region=us-east-1", system
    system.delete_dir_contents("photos")
    system.delete_dir_contents("scores")


def _put(system, path, data):
    with system.open_output_stream(path) as stream:
        stream.write(data)


def test_objects_of_any_name_are_listed_and_read(bucket):
    how, system = bucket
    names = list_photos([f"s3://photos{how}"], EVERYTHING)
    assert len(names) == len(NAMES)
    assert f"s3://photos/trip/2%20hills.jpg{how}" in names
    expected = []
    for name in sorted(NAMES):
        with system.open_input_file(f"photos/{name}") as stream:
            expected.append(stream.read())
    assert list(read_all(names)) == expected


def test_a_folder_and_a_pattern_choose(bucket):
    how, _ = bucket
    assert list_photos([f"s3://photos/trip/{how}"], EVERYTHING) == [
        f"s3://photos/trip/2%20hills.jpg{how}"
    ]
    chosen = Selection(exclude=("trip",))
    assert len(list_photos([f"s3://photos{how}"], chosen)) == len(NAMES) - 1


@pytest.mark.parametrize("place", ["photos/gone.jpg", "photos/trips", "nowhere/photos"])
def test_what_is_not_there_is_named(bucket, place):
    how, _ = bucket
    (name,) = list_photos([f"s3://{place}{how}"], EVERYTHING)
    (error,) = read_all([name])
    assert isinstance(error, PhotoError)
    assert error.code == "photo_missing"
    assert name in str(error)


def test_results_of_photos_in_a_bucket_are_written_to_one(bucket, sdk):
    how, system = bucket
    names = list_photos([f"s3://photos{how}"], EVERYTHING)
    plan = Plan("toy@1", None, None, False, None, 3, len(names), listing_hash(names))
    place = f"s3://scores/run 1{how}".replace(" ", "%20")
    assert Output(place).begin(plan) == set()
    worker = Worker(pack(sdk, None), Task(place, False, None, "cpu", 1))
    parts = [names[:3], names[3:]]
    for number, part in enumerate(parts):
        worker({"part": np.array([number]), "names": [[name.encode() for name in part]]})
    assert Output(place).begin(plan) == {0, 1}, "a second run has nothing to do"
    rows = parquet.read_table("scores/run 1", filesystem=system).to_pylist()
    assert [row["path"] for row in rows] == names
    expected = sdk.score_many([data for data in read_all(names) if isinstance(data, bytes)])
    assert [row["value"] for row in rows] == pytest.approx([score.value for score in expected])
    kept = system.get_file_info(fs.FileSelector("scores/run 1"))
    assert sorted(info.base_name for info in kept) == [
        "_plan.json",
        "part-000000.parquet",
        "part-000001.parquet",
    ]
