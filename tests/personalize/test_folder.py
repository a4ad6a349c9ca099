"""The files of a personal model travel whole, and nowhere else."""

from __future__ import annotations

import errno
import os
import tempfile
import time

import pytest

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.personalize.folder import new_version, read_files, write_files


def test_files_come_back_as_they_were(tmp_path):
    files = {"personal.json": b"{}", "adapter/weights": bytes(range(256))}
    write_files(tmp_path / "copy", files)
    assert read_files(tmp_path / "copy") == files


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(PersonalizeError, match="does not belong"):
        write_files(tmp_path / "folder", {name: b"x"})
    assert not (tmp_path / "escaped").exists()


def test_a_disk_that_takes_no_version_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    place = tmp_path / "personal" / "alice" / "v0001"
    told = r"v0001 cannot be written.*No space"
    with pytest.raises(PersonalizeError, match=told) as caught, new_version(place):
        pytest.fail("there is nowhere to write to")
    assert caught.value.code == "personal_model_unwritable"


def test_what_killed_runs_left_is_removed_once_no_run_can_be_at_work_on_it(tmp_path):
    person = tmp_path / "personal" / "anna"
    left, recent = person / ".partial-left", person / ".partial-recent"
    for folder in (left, recent):
        folder.mkdir(parents=True)
        (folder / "personal.json").write_text("{}")
    then = time.time() - 8 * 24 * 3600
    os.utime(left, (then, then))
    with new_version(person / "v0001"):
        pass
    assert sorted(folder.name for folder in person.iterdir()) == [recent.name, "v0001"]
