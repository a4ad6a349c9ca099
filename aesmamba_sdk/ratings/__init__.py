"""Photos a person rated, from tables and star folders; pixels are never decoded here."""

from aesmamba_sdk.ratings.choices import Choice, read_choices
from aesmamba_sdk.ratings.reader import RatedPhoto, RatedPhotos, RatingProblem, read_ratings

__all__ = [
    "Choice",
    "RatedPhoto",
    "RatedPhotos",
    "RatingProblem",
    "read_choices",
    "read_ratings",
]
