"""Memory that a process keeps or gives back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from aesmamba_sdk.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(16 << 20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
assert keep_freed_memory()
faults(), faults()  # the heap has grown to its size
print(usual, faults())
"""


FREED = """
from pathlib import Path
from aesmamba_sdk.memory import give_back_freed_memory

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

blocks = [bytearray(50_000) for _ in range(1000)]
last = bytearray(50_000)  # while it lives, what lies below is not handed back by itself
del blocks
before = megabytes()
assert give_back_freed_memory()
print(before - megabytes())
"""
needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs the GNU C library"
)


@needs_glibc
def test_freed_memory_is_given_back():
    out = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(out.stdout) > 40


@needs_glibc
def test_kept_memory_is_not_faulted_in_again():
    """In a process of its own: the setting cannot be taken back."""
    out = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=120
    )
    usual, kept = map(int, out.stdout.split())
    assert kept < 100 < usual


def test_other_systems_say_that_they_cannot(monkeypatch):
    from aesmamba_sdk.memory import give_back_freed_memory, keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert not give_back_freed_memory()
