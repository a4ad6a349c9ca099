"""What a caller may choose; apart from the parsers, so that programs start at once."""

from __future__ import annotations

from typing import Literal, get_args

Rejects = Literal["skip", "lowest"]
"""What a rejected photo counts as: nothing, or one star."""
REJECTS: tuple[Rejects, ...] = get_args(Rejects)

Picks = Literal["skip", "highest"]
"""What a photo that was picked, and has no stars, counts as: nothing, or five stars."""
PICKS: tuple[Picks, ...] = get_args(Picks)

SidecarName = Literal["full", "stem"]
"""``"full"`` is ``IMG.jpg.xmp``, ``"stem"`` is ``IMG.xmp``."""
SIDECAR_NAMES: tuple[SidecarName, ...] = get_args(SidecarName)

StarRule = Literal["quantiles", "cuts"]
"""Stars by rank within what is scored together, or by fixed scores."""
STAR_RULES: tuple[StarRule, ...] = get_args(StarRule)
