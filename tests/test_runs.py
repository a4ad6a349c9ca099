"""Runs on another thread: watched, failed, cancelled, one after another."""

from __future__ import annotations

import threading

import pytest

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.runs import Runs


@pytest.fixture
def runs():
    opened = Runs("test", "something broke: see the log")
    yield opened
    opened.close()


def test_a_run_can_be_watched_and_gives_its_result(runs):
    told, go_on = threading.Event(), threading.Event()

    def work(progress):
        progress("photos", 1, 2)
        told.set()
        go_on.wait(10)
        return "taste"

    run = runs.start(work)
    assert told.wait(10)
    assert (run.state, run.progress, run.finished) == ("running", ("photos", 1, 2), False)
    go_on.set()
    run.wait()
    assert (run.state, run.result, run.error) == ("done", "taste", None)
    assert run.finished_at >= run.created_at


def test_an_error_of_ours_is_told_as_it_is(runs):
    def work(progress):
        raise PersonalizeError("too few photos", code="too_few_ratings")

    run = runs.start(work)
    run.wait()
    assert (run.state, run.result) == ("failed", None)
    assert (run.error.code, run.error.message) == ("too_few_ratings", "too few photos")


def test_any_other_error_is_logged_and_the_next_run_works(runs, caplog):
    run, after = runs.start(lambda progress: 1 / 0), runs.start(lambda progress: 3)
    after.wait()
    assert (run.state, run.error.code) == ("failed", "internal")
    assert run.error.message == "something broke: see the log"
    assert "ZeroDivisionError" in caplog.text
    assert after.result == 3


def test_a_run_is_cancelled_while_it_waits_or_as_it_tells_its_progress(runs):
    started, go_on = threading.Event(), threading.Event()

    def work(progress):
        started.set()
        go_on.wait(10)
        progress("training", 1, 2)
        return "never"

    first, second = runs.start(work), runs.start(work)
    assert started.wait(10)
    second.cancel()
    second.wait()
    ended = second.finished_at
    second.cancel()
    assert (second.state, second.finished_at) == ("cancelled", ended)
    first.cancel()
    assert first.state == "running"
    go_on.set()
    first.wait()
    assert (first.state, first.result) == ("cancelled", None)


def test_what_has_finished_stays_as_it_is(runs):
    run = runs.start(lambda progress: "done")
    run.wait()
    run.cancel()
    assert (run.state, run.result) == ("done", "done")
