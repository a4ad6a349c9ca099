"""Long runs: how far they are, and how they are stopped."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from aesmamba_sdk.cli import output
from tests import toy

COMMAND = "from aesmamba_sdk.cli import main; main()"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_tells_how_many_how_fast_and_how_long(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "_REDRAWN", 0.0)
    with output.progress_bar() as progress:
        for done in range(1, 5):
            progress("photos", done, 10)
    drawn = sys.stderr.getvalue()
    assert "4/10" in drawn
    assert "/s" in drawn
    assert re.search(r"0:00:0\d", drawn)


def test_whoever_does_not_watch_gets_no_bar(capsys):
    with output.progress_bar() as progress:
        progress("photos", 1, 10)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such terminals")
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "table"])
def test_who_watches_the_bar_still_gets_the_scores_in_a_file(toy_model, tmp_path, form):
    """As of ``aesmamba score photos > scores.jsonl`` in a shell: messages alone on the terminal."""
    toy.write_photos(tmp_path / "photos", 3)
    command = [sys.executable, "-c", COMMAND, "score", "--format", form, str(tmp_path / "photos")]
    environment = os.environ | {"AESMAMBA_MODEL": str(toy_model), "TERM": "xterm"}
    watching, terminal = os.openpty()
    with (tmp_path / "scores").open("wb") as file:
        subprocess.run(
            command, env=environment, stdout=file, stderr=terminal, check=True, timeout=60
        )
    os.close(terminal)
    os.close(watching)
    written = (tmp_path / "scores").read_text(encoding="utf-8")
    assert all(f"{i:03}.png" in written for i in range(3))
    assert "\x1b" not in written


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such terminals")
def test_records_stay_whole_above_the_bar_of_a_narrow_terminal(toy_model, tmp_path):
    toy.write_photos(tmp_path / "photos", 3)
    command = [sys.executable, "-c", COMMAND, "score", "--format", "jsonl", str(tmp_path)]
    environment = os.environ | {"AESMAMBA_MODEL": str(toy_model), "TERM": "xterm", "COLUMNS": "40"}
    watching, terminal = os.openpty()
    with subprocess.Popen(command, env=environment, stdout=terminal, stderr=terminal) as run:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # the end of a terminal is an error
            while part := os.read(watching, 65536):
                shown += part
    os.close(watching)
    assert run.returncode == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    records = [line[line.index("{") :] for line in plain.split("\n") if '{"path"' in line]
    assert [json.loads(record)["path"][-7:] for record in records] == [
        f"{i:03}.png" for i in range(3)
    ]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent otherwise")
def test_ctrl_c_ends_cleanly_and_keeps_what_is_done(toy_model, tmp_path):
    # More records than a pipe holds: the run waits to be read, and does not end before we stop it.
    folder = tmp_path / ("long" * 50)
    toy.write_photos(folder, 400)
    command = [sys.executable, "-c", COMMAND, "score", "--format", "jsonl", str(folder)]
    environment = os.environ | {"AESMAMBA_MODEL": str(toy_model)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert json.loads(run.stdout.readline())["value"]
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "next run goes on" in errors
    assert "Traceback" not in errors
