"""Public datasets of photo aesthetics in their official layouts, one file each."""

from aesmamba_sdk.train.datasets.dataset import Categories, Dataset, Rating, Sample
from aesmamba_sdk.train.datasets.registry import READERS, read_dataset

__all__ = ["READERS", "Categories", "Dataset", "Rating", "Sample", "read_dataset"]
