"""Compile the native library: with the wheel, or later by ``python -m`` this module.

Only the standard library is used and nothing of the package is imported: ``hatch_build.py`` runs
this file where neither torch nor the package is installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE / ("aesmamba_native.dll" if sys.platform == "win32" else "libaesmamba_native.so")
COMMAND = "python -m aesmamba_sdk.model.native.build"

_ARITHMETIC = (
    "scan.cpp",
    "norm.cpp",
    "product.cpp",
    "depthwise.cpp",
)  # once for each instruction set
_SOURCES = (
    "scan.h",
    "norm.h",
    "product.h",
    "depthwise.h",
    "vector_math.h",
    *_ARITHMETIC,
    "dispatch.cpp",
)
_COMPILERS = ("c++", "g++", "clang++")
# Multiply-adds may be contracted even where a compiler is careful by default: the error bounds
# hold either way, and speed does not.
_FLAGS = ("-O3", "-fPIC", "-std=c++17", "-ffp-contract=fast", "-fvisibility=hidden", "-Wno-psabi")
# Never the machine's own set: a wheel runs on others. Instruction set, floats per vector, flags.
_BASELINE = ("baseline", 4, ())
_X86 = (
    ("avx512", 16, ("-mavx512f", "-mavx512dq", "-mavx2", "-mfma")),
    ("avx2", 8, ("-mavx2", "-mfma")),
    _BASELINE,
)
# GCC for Windows takes the stack to be aligned to wide vectors, which it is not there, and its code
# ends the program now and then: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=54412
_UNALIGNED = ("-Wa,-muse-unaligned-vector-move",)


class BuildError(Exception):
    """Why there is no library, in words for whoever wants one."""


def source_digest() -> str:
    """A fingerprint of the sources; the library carries that of the sources it came from."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler: ``$CXX`` or else one of the usual names, if it is there.

    An empty ``$CXX`` says that none shall be used.

    Raises:
        BuildError: ``$CXX`` is no command.
    """
    chosen = os.environ.get("CXX")
    if chosen is None:
        found = next((name for name in _COMPILERS if shutil.which(name)), None)
        return None if found is None else [found]
    if shutil.which(chosen):  # a path as it is, with its spaces and Windows' backslashes
        return [chosen]
    try:
        command = shlex.split(chosen)
    except ValueError as error:
        raise BuildError(f"CXX={chosen} is no command: {error}") from error
    return command if command and shutil.which(command[0]) else None


def build(target: Path = LIBRARY) -> Path:
    """Compile the library to ``target``, which is replaced only when all went well.

    Raises:
        BuildError: there is no compiler, it refused, or ``target`` cannot be written.
    """
    compiler = find_compiler()
    if compiler is None:
        chosen = os.environ.get("CXX")
        remedy = f"CXX={chosen} is not there" if chosen else "set CXX, or install g++ or clang++"
        raise BuildError(f"no C++ compiler: {remedy}")
    machine = _run([*compiler, "-dumpmachine"]).strip()
    kernels = _X86 if machine.startswith(("x86_64", "amd64")) else (_BASELINE,)
    careful = _UNALIGNED if "mingw" in machine else ()
    try:
        with tempfile.TemporaryDirectory() as folder:
            objects = []
            for isa, width, flags in kernels:
                defines = (f"-DSCAN_ISA={isa}", f"-DSCAN_WIDTH={width}")
                for source in _ARITHMETIC:
                    objects.append(Path(folder, f"{source}.{isa}.o"))
                    _compile(compiler, (*flags, *careful, *defines), source, objects[-1])
            objects.append(Path(folder, "dispatch.o"))
            fingerprint = f'-DSCAN_SOURCES="{source_digest()}"'
            _compile(compiler, (fingerprint,), "dispatch.cpp", objects[-1])
            linked = Path(folder, target.name)
            _run([*compiler, "-shared", "-o", str(linked), *map(str, objects)])
            # A process that has the old library open keeps the old file.
            beside = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.copy(linked, beside)
            beside.replace(target)
    except OSError as error:
        raise BuildError(f"cannot write {target}: {error}") from error
    return target


def _compile(compiler: list[str], flags: tuple[str, ...], source: str, target: Path) -> None:
    _run([*compiler, *_FLAGS, *flags, "-c", str(HERE / source), "-o", str(target)])


def _run(command: list[str]) -> str:
    try:
        # Compilers write paths and complaints in any encoding.
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise BuildError(f"{command[0]} does not run: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BuildError(f"{shlex.join(command)} failed: {' '.join(lines[:5])}")
    return done.stdout


def main() -> int:
    """Build next to the sources and say so; 1 when that is not possible."""
    try:
        print(f"built {build()}")
    except BuildError as error:
        print(f"not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
