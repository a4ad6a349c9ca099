"""How what is known is written into an answer."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse


class AnyText(JSONResponse):
    r"""Strict JSON of any text: of a file's name, bytes that are none become escapes (``\udcff``).

    They are those of ``--format jsonl``: a program that reads JSON has the name that Python has.
    """

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")
