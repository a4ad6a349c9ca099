"""A Ray cluster of two workers on this computer: every photo is scored exactly once."""

from __future__ import annotations

import logging
import os
import signal

import pytest
from click.testing import CliRunner

from aesmamba_sdk.cli import main
from aesmamba_sdk.cluster.run import score_on_ray
from tests import toy

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'aesmamba-sdk[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.slow
WORKERS = 2


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()


def test_with_a_worker_killed_half_way_every_photo_is_scored_once(cluster, sdk, tmp_path):
    photos = toy.write_photos(tmp_path / "photos", 60)
    photos[7].write_bytes(b"nonsense")
    output, told, left = tmp_path / "scores", [], []

    def kill(row):
        if not told:
            os.kill(row["pid"], signal.SIGKILL)
            left.append(20 - len(list(output.glob("part-*"))))
        told.append(row)

    options = {"device": "cpu", "workers": WORKERS, "part_size": 3}
    folder = str(photos[0].parent)
    outcome = score_on_ray(sdk, [folder], str(output), progress=kill, **options)
    assert left[0] > 0, "all was done before the worker was killed"
    assert (outcome.photos, outcome.failed, outcome.resumed, outcome.lost) == (60, 1, 0, ())
    rows = parquet.read_table(output).to_pylist()
    assert [row["path"] for row in rows] == [str(path) for path in photos]
    expected = list(sdk.score_many(photos))
    assert [row["value"] for row in rows] == pytest.approx(
        [score.value for score in expected], abs=1e-5
    )
    assert rows[7]["error"] == {
        "code": expected[7].error.code,
        "message": expected[7].error.message,
    }
    assert len({row["pid"] for row in told}) > 1, "both workers worked"

    # Interrupted and run again: only what is missing is made.
    kept = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    (output / "part-000004.parquet").unlink()
    told.clear()
    told.append(None)  # nobody is killed this time
    again = score_on_ray(sdk, [folder], str(output), progress=kill, **options)
    assert (again.resumed, [row["part"] for row in told[1:]]) == (19, [4])
    assert parquet.read_table(output).to_pylist() == rows
    unchanged = [path for path, time in kept.items() if path.stat().st_mtime_ns == time]
    assert len(unchanged) == 19


def test_the_command_line_tells_what_was_done(cluster, toy_model, tmp_path):
    photos = toy.write_photos(tmp_path / "photos", 4)
    photos[0].write_bytes(b"")
    output = tmp_path / "scores"
    arguments = ["score", str(photos[0].parent), "--engine", "ray", "--output", str(output)]
    result = CliRunner().invoke(main, [*arguments, "--model", str(toy_model), "--device", "cpu"])
    assert result.exit_code == 1, result.output
    assert "1 of 4 photos could not be scored" in result.stderr
    assert parquet.read_table(output).num_rows == 4
