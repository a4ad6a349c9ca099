"""Figures of cases that take long, a line each, so that a protocol that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aesmamba_sdk.errors import SetupError

Figures = tuple[float, ...]


class Key(NamedTuple):
    """Which case: method, number of shots, group, row of the person in it, and repeat."""

    method: str
    shots: int
    group: str
    person: int
    repeat: int


class KeptFigures:
    """Lines of JSON: the settings, the key of a case, and its figures.

    Args:
        file: to go on from; made when there is something to keep. ``None``: nothing is kept.
        settings: of the run; lines of other settings stay in the file and are not used.

    Raises:
        SetupError: the file is no such file.
    """

    def __init__(
        self, file: Path | None = None, settings: Mapping[str, str | int] | None = None
    ) -> None:
        self.file, self.settings = file, dict(settings or {})
        self._known: dict[Key, Figures] = {}
        if file is not None and file.is_file():
            self._read(file)

    def get(self, key: Key) -> Figures | None:
        """Figures of a case, if it was measured before."""
        return self._known.get(key)

    def add(self, key: Key, figures: Figures) -> None:
        """Keep the figures of a case; they are in the file when this returns."""
        if key in self._known:
            return
        self._known[key] = figures
        if self.file is not None:
            line = json.dumps(self.settings | key._asdict() | {"figures": figures})
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    def _read(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            try:
                record = json.loads(line)
                figures = tuple(map(float, record.pop("figures")))
                key = Key(*(record.pop(name) for name in Key._fields))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                if number > 1 and not text.endswith("\n") and number == text.count("\n") + 1:
                    break  # it was stopped while it wrote this line
                raise SetupError(
                    f"{file}, line {number} holds no figures of a case: name another file to "
                    "keep them in"
                ) from error
            if record == self.settings:
                self._known[key] = figures
        if text and not text.endswith("\n"):
            file.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
