"""One thread of the program computes alone; the others never notice."""

from __future__ import annotations

import threading

import pytest
import torch

from aesmamba_sdk.model import threads
from aesmamba_sdk.model.threads import one_thread, use_threads


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def elsewhere() -> int:
    """What a thread that starts now is told."""
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return told[0]


@pytest.mark.usefixtures("two_threads")
def test_only_the_calling_thread_computes_alone():
    if threads.openmp("omp_set_num_threads") is None:
        pytest.skip("this torch runs on no OpenMP")
    with one_thread():
        assert torch.get_num_threads() == 1
        assert elsewhere() == 2
    assert torch.get_num_threads() == elsewhere() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_setting_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_setting_made_meanwhile_holds_for_others_at_once_and_here_afterwards():
    if threads.openmp("omp_set_num_threads") is None:
        pytest.skip("this torch runs on no OpenMP")
    with one_thread():
        use_threads(3)
        assert (torch.get_num_threads(), elsewhere()) == (1, 3)
        with one_thread():
            use_threads(4)
        assert (torch.get_num_threads(), elsewhere()) == (1, 4)
    assert torch.get_num_threads() == 4
    use_threads(2)
    assert torch.get_num_threads() == elsewhere() == 2


@pytest.mark.usefixtures("two_threads")
def test_without_openmp_nothing_changes(monkeypatch):
    monkeypatch.setattr(threads, "openmp", lambda function: None)
    with one_thread():
        assert torch.get_num_threads() == 2


def test_a_function_that_is_not_there_is_none():
    assert threads.openmp("no_such_function") is None
