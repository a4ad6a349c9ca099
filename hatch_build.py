"""Compile the native library while the package is built, where a C++ compiler is there.

The wheel then fits one platform. Without a compiler it is pure Python, and torch computes what the
library would: a missing or failing compiler never fails an installation.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_NATIVE = Path("aesmamba_sdk", "model", "native")


class NativeLibraryHook(BuildHookInterface):
    """Runs for wheels and for editable installs, whose library stays next to the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = _load(Path(self.root, _NATIVE, "build.py"))
        try:
            library = build.build()
        except build.BuildError as error:
            self.app.display_warning(f"without the native library: {error}")
            # What an earlier build left may not fit these sources, and must not get into a wheel.
            with suppress(OSError):  # in a tree that is not to be written, it stays out as ignored
                build.LIBRARY.unlink()
            return
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
        build_data["pure_python"] = False
        # One platform, but any Python: the library knows nothing of the interpreter.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def _load(path: Path) -> ModuleType:
    """Import one file; importing its package would need torch."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
