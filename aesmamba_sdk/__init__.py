"""Personalized photo aesthetics with AesMamba: generic, fine-grained and personal scores.

Importing this package loads neither torch nor a model.
"""

from __future__ import annotations

from aesmamba_sdk.errors import AesMambaError, PhotoError
from aesmamba_sdk.scores import Scale, Score, ScoreFailure
from aesmamba_sdk.sdk import AesMamba

__all__ = ["AesMamba", "AesMambaError", "PhotoError", "Scale", "Score", "ScoreFailure"]
__version__ = "0.1.0"
