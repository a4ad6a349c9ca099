"""The files of a personal model travel whole, and nowhere else."""

from __future__ import annotations

import errno
import os
import tempfile

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
