"""The native library, for the tests of what runs on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aesmamba_sdk.model import chain
from aesmamba_sdk.model.native import build, library
from aesmamba_sdk.model.selective_scan import use_engine


@pytest.fixture(scope="session")
def compiled() -> library.NativeLibrary:
    """The library of these sources, compiled now if it is not there yet."""
    if library.missing() is not None:
        if build.find_compiler() is None:
            pytest.skip("there is no C++ compiler and no compiled library")
        build.build()
        library.open_library.cache_clear()
        library.usable_library.cache_clear()
    return library.open_library()


@pytest.fixture
def native(compiled: library.NativeLibrary) -> Iterator[library.NativeLibrary]:
    with use_engine("native"):
        yield compiled


@pytest.fixture(params=library.INSTRUCTION_SETS)
def isa(
    request: pytest.FixtureRequest,
    native: library.NativeLibrary,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """What is native runs on one instruction set."""
    if request.param not in native.widths:
        pytest.skip(f"this processor or build has no {request.param}")
    monkeypatch.setenv(library.ISA_VARIABLE, request.param)
    name: str = request.param
    return name


@pytest.fixture
def every_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's products and convolutions serve even where others are as fast."""
    monkeypatch.setattr(chain, "_INSTRUCTION_SETS", library.INSTRUCTION_SETS)
