"""Load the native library with ctypes, choose its instruction set, and run it on torch's threads.

The library starts no threads of its own. It is handed ``GOMP_parallel`` of the OpenMP runtime that
torch itself runs on, looked up through ``libtorch_cpu``: linking against OpenMP could bring in a
second copy of the runtime, whose idle threads spin against torch's; a pool in Python costs more
to wake than a small map takes to scan.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.threads import openmp

ISA_VARIABLE = "AESMAMBA_SCAN_ISA"
INSTRUCTION_SETS = ("avx512", "avx2", "baseline")  # fastest first; baseline is NEON on ARM

_SIZES = ("batch", "height", "width", "channels", "states", "rank")
_INPUTS = ("x", "x_dbl", "dt_weight", "dt_bias", "A", "skip")
_FORWARD = ("y", "checkpoints")
_BACKWARD = ("dy", "dx", "dx_dbl", "ddt_weight", "ddt_bias", "dA", "dskip")
_ARRAYS = _INPUTS + _FORWARD + _BACKWARD


class Scan(ctypes.Structure):
    """``struct Scan`` of ``scan.h``, field by field."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]

    def point(self, **arrays: Tensor | None) -> None:
        """Aim pointers at dense float32 tensors, which the caller keeps alive."""
        for name, array in arrays.items():
            if array is None:
                continue
            if array.dtype != torch.float32 or not array.is_contiguous() or name not in _ARRAYS:
                raise AssertionError(f"{name} {array.dtype}, strides {array.stride()}")
            setattr(self, name, array.data_ptr())


class Norm(ctypes.Structure):
    """``struct Norm`` of ``norm.h``, field by field."""

    _fields_: ClassVar = [
        ("rows", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
        ("x_bfloat16", ctypes.c_int32),
        ("y_bfloat16", ctypes.c_int32),
    ]


class Layer(ctypes.Structure):
    """``struct Layer`` of ``product.h``, field by field."""

    _fields_: ClassVar = [
        ("columns", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    ]
    kept: Tensor | None = None  # holds what ``weight`` points to


class Scale(ctypes.Structure):
    """``struct Scale`` of ``product.h``, field by field."""

    _fields_: ClassVar = [
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
    ]


class Patches(ctypes.Structure):
    """``struct Patches`` of ``product.h``, field by field."""

    _fields_: ClassVar = [
        (name, ctypes.c_int64)
        for name in (
            *("height", "width", "channels"),
            *("side", "stride", "padding", "down", "across"),
        )
    ]


class Chain(ctypes.Structure):
    """``struct Chain`` of ``product.h``, field by field."""

    _fields_: ClassVar = [
        ("rows", ctypes.c_int64),
        ("inner", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("patches", Patches),
        ("norm", Scale),
        ("first", Layer),
        ("second", Layer),
        ("residual", ctypes.c_void_p),
        ("last_norm", Scale),
        ("y", ctypes.c_void_p),
        ("slope_at", ctypes.c_void_p),
        ("before", ctypes.c_void_p),
        ("last_gelu", ctypes.c_int32),
    ]


class Packing(ctypes.Structure):
    """``struct Packing`` of ``product.h``, field by field."""

    _fields_: ClassVar = [
        ("columns", ctypes.c_int64),
        ("inner", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("packed", ctypes.c_void_p),
        ("transposed", ctypes.c_int32),
    ]


class Depthwise(ctypes.Structure):
    """``struct Depthwise`` of ``depthwise.h``, field by field."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("batch", "height", "width", "channels")),
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y")),
    ]


class NativeLibrary:
    """An opened library.

    Attributes:
        chunk: steps between two checkpoints of the state.
    """

    def __init__(self, path: Path) -> None:
        self._functions = ctypes.CDLL(str(path))
        f = self._functions
        f.aesmamba_sources.restype = ctypes.c_char_p
        f.aesmamba_scan_blocks.restype = ctypes.c_int64
        f.aesmamba_width.argtypes = [ctypes.c_char_p]
        f.aesmamba_scan_blocks.argtypes = [ctypes.POINTER(Scan), ctypes.c_char_p]
        f.aesmamba_scan_run.argtypes = [
            ctypes.POINTER(Scan),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        f.aesmamba_normalize.argtypes = [
            ctypes.POINTER(Norm),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        f.aesmamba_packed_floats.restype = ctypes.c_int64
        f.aesmamba_packed_floats.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p]
        f.aesmamba_pack.argtypes = [
            ctypes.POINTER(Packing),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        f.aesmamba_chain.argtypes = [
            ctypes.POINTER(Chain),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        f.aesmamba_depthwise.argtypes = [
            ctypes.POINTER(Depthwise),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        self.sources: str = f.aesmamba_sources().decode()
        self.chunk: int = f.aesmamba_scan_chunk()
        self.widths: dict[str, int] = {
            isa: width for isa in INSTRUCTION_SETS if (width := f.aesmamba_width(isa.encode()))
        }

    def instruction_set(self) -> str:
        """The fastest one this machine has, or the one ``AESMAMBA_SCAN_ISA`` names.

        Raises:
            SetupError: the named one is unknown or not to be had here.
        """
        chosen = os.environ.get(ISA_VARIABLE) or next(iter(self.widths))
        if chosen not in self.widths:
            raise SetupError(
                f"{ISA_VARIABLE}={chosen} cannot run here; there are: {', '.join(self.widths)}",
                code="no_engine",
            )
        return chosen

    def blocks(self, scan: Scan, isa: str) -> int:
        """How many shares of dx_dbl a backward pass of ``scan`` writes."""
        count: int = self._functions.aesmamba_scan_blocks(scan, isa.encode())
        return count

    def run(self, scan: Scan, isa: str, *, backward: bool) -> None:
        """Fill the outputs of one pass, on as many threads as torch uses.

        Raises:
            MemoryError: not even the scratch space could be had.
        """
        failed = self._functions.aesmamba_scan_run(
            scan, isa.encode(), backward, torch.get_num_threads(), _torch_parallel()
        )
        if failed:
            raise MemoryError("the native scan could not allocate its scratch space")

    def normalize(self, norm: Norm, isa: str) -> None:
        """Fill ``y``, on as many threads as torch uses."""
        threads = torch.get_num_threads()
        self._functions.aesmamba_normalize(norm, isa.encode(), threads, _torch_parallel())

    def depthwise(self, convolution: Depthwise, isa: str) -> None:
        """Fill ``y``, on as many threads as torch uses."""
        threads = torch.get_num_threads()
        self._functions.aesmamba_depthwise(convolution, isa.encode(), threads, _torch_parallel())

    def pack(self, weight: Tensor, isa: str, *, transposed: bool = False) -> Tensor:
        """A dense float32 weight, (columns, inner), as :meth:`chain` reads it.

        Args:
            transposed: the weight is (inner, columns).
        """
        if not (weight.dtype == torch.float32 and weight.is_cpu and weight.is_contiguous()):
            raise AssertionError(f"{weight.dtype} on {weight.device}, {weight.stride()}")
        columns, inner = reversed(weight.shape) if transposed else weight.shape
        floats = self._functions.aesmamba_packed_floats(columns, inner, isa.encode())
        packed = weight.new_empty(floats)
        packing = Packing(columns, inner, weight.data_ptr(), packed.data_ptr(), transposed)
        threads = torch.get_num_threads()
        self._functions.aesmamba_pack(packing, isa.encode(), threads, _torch_parallel())
        return packed

    def chain(self, chain: Chain, isa: str) -> None:
        """Fill ``y``, on as many threads as torch uses.

        Raises:
            MemoryError: not even the scratch space could be had.
        """
        failed = self._functions.aesmamba_chain(
            chain, isa.encode(), torch.get_num_threads(), _torch_parallel()
        )
        if failed:
            raise MemoryError("a native linear layer could not allocate its scratch space")


def missing() -> str | None:
    """Why there is no library to load, with the remedy; ``None`` when there is one."""
    # Not above: ``python -m`` warns when what it is to run has been imported with the package.
    from aesmamba_sdk.model.native import build

    if not build.LIBRARY.exists():
        return f"not compiled; with a C++ compiler installed run: {build.COMMAND}"
    try:
        library = open_library()
    except (OSError, AttributeError) as error:
        return f"{build.LIBRARY} does not load ({error}); compile it here: {build.COMMAND}"
    if library.sources != build.source_digest():
        return f"compiled from other sources than these; compile again: {build.COMMAND}"
    return None


def unusable() -> str | None:
    """Why nothing of the library can run here, with the remedy; ``None`` when it can."""
    reason = missing()
    if reason is None:
        try:
            open_library().instruction_set()
        except SetupError as error:
            return str(error)
    return reason


@cache
def usable_library() -> NativeLibrary | None:
    """The library, if it is there, of these sources, and has an instruction set to offer."""
    return None if unusable() else open_library()


@cache
def open_library() -> NativeLibrary:
    """The library next to the sources, opened once."""
    from aesmamba_sdk.model.native import build

    return NativeLibrary(build.LIBRARY)


def shares_threads() -> bool:
    """Whether a call of the library runs on as many threads as one of torch."""
    return torch.get_num_threads() == 1 or _torch_parallel() is not None


@cache
def _torch_parallel() -> int | None:
    """Address of torch's own ``GOMP_parallel``; ``None`` (one thread) where it has none."""
    function = openmp("GOMP_parallel")
    return None if function is None else ctypes.cast(function, ctypes.c_void_p).value
