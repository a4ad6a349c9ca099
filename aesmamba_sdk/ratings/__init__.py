"""Photos a person rated, from tables, star folders and metadata; no pixel is decoded here."""

from aesmamba_sdk.ratings.choices import Choice, read_choices
from aesmamba_sdk.ratings.rated import RatedPhoto, RatedPhotos, RatingProblem
from aesmamba_sdk.ratings.reader import read_ratings

__all__ = [
    "Choice",
    "RatedPhoto",
    "RatedPhotos",
    "RatingProblem",
    "read_choices",
    "read_ratings",
]
