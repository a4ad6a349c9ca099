"""``aesmamba rate`` as it is started and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from aesmamba_sdk import AesMamba
from aesmamba_sdk.cli import main
from tests import toy
from tests.rate.serving import ask


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "trip", 5)


def invoke(*arguments):
    return CliRunner().invoke(main, ["rate", *map(str, arguments), "--no-browser"])


@pytest.mark.skipif(os.name != "posix", reason="signals are sent")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 0)])
def test_however_it_ends_every_rating_given_is_kept(sdk, toy_model, photos, how, code):
    sdk.users.add("alice")
    program = "from aesmamba_sdk.cli import main; main()"
    arguments = ["rate", "alice", str(photos[0].parent), "--no-browser", "--model", str(toy_model)]
    arguments += ["--exclude", "004.png"]
    running = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        for photo, score in enumerate([5, 1, 3]):
            assert ask(address, "PUT", f"rating/{photo}", {"score": score}).status == 200
        running.send_signal(how)
        _, told = running.communicate(timeout=20)
    finally:
        running.kill()
    assert running.returncode == code
    assert "4 photos for alice to rate" in told
    if how == signal.SIGINT:
        assert told.endswith("alice has rated 3 photos\n")
    with AesMamba(toy_model, device="cpu") as reopened:
        assert [r.score for r in reopened.ratings.list("alice")] == [5, 1, 3]


BROWSER = """#!/bin/sh
# Notes what it is started with and what it finds there, then ends the program.
echo "$@" > "$OUT/arguments"
page="${1#file://}"
stat -c %a "$page" > "$OUT/mode"
cat "$page" > "$OUT/page"
kill -INT $PPID
"""


@pytest.mark.skipif(os.name != "posix", reason="the browser is a script")
def test_the_browser_is_led_to_the_page_and_nobody_else_learns_where_it_is(
    sdk, toy_model, photos, tmp_path
):
    sdk.users.add("alice")
    browser = tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o700)
    program = "from aesmamba_sdk.cli import main; main()"
    running = subprocess.run(
        [sys.executable, "-c", program, "rate", "alice", photos[0], "--model", toy_model],
        env=os.environ | {"BROWSER": f"{browser} %s", "OUT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    address = running.stdout.strip()
    assert f"url={address}" in (tmp_path / "page").read_text()
    assert (tmp_path / "mode").read_text() == "600\n"
    arguments = (tmp_path / "arguments").read_text().strip()
    assert address.split("/")[-2] not in arguments
    assert not Path(arguments.removeprefix("file://")).exists()


def test_without_the_extra_the_command_to_install_it_is_told(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = invoke("alice", photos[0])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'aesmamba-sdk[serve]'" in result.stderr


def test_an_unknown_person_is_told_before_photos_are_read(photos, toy_model):
    result = invoke("nobody", photos[0], "--model", toy_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nobody" in result.stderr
