"""The package's templates, styles and scripts, and how one page is put together from them."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from aesmamba_sdk.paths import printable

_MARK = re.compile(r"\{\{ (\w+) \}\}")


@cache
def read_asset(name: str) -> str:
    """A file of ``pages/static`` as text."""
    return (files("aesmamba_sdk.pages") / "static" / name).read_text(encoding="utf-8")


def joined(*names: str) -> str:
    """Several styles, or several parts of one script, as one text."""
    return "\n".join(map(read_asset, names))


def self_contained(
    template: str, *, title: str, styles: str, script: str, data: dict[str, Any]
) -> str:
    """One HTML page that needs nothing else and lets nothing else in.

    The content security policy allows this style and this script, by their hashes, and images
    inside the page; no network at all. The data is JSON that cannot end its element.

    Args:
        template: name of the file, with the marks ``{{ policy }}``, ``{{ title }}``,
            ``{{ styles }}``, ``{{ script }}`` and ``{{ data }}``, each put in as it is.
        title: text, of any characters.
        data: plain JSON types; a file name need not be valid text.
    """
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash_of(styles)}; "
        f"script-src {_hash_of(script)}; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(printable(title)),
        "styles": styles,
        "script": script,
        "data": json_in_html(data),
    }
    return _MARK.sub(lambda mark: parts[mark[1]], read_asset(template))


def json_in_html(data: Any) -> str:
    """JSON in ASCII without any character that HTML gives a meaning."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
