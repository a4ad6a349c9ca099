"""A person's ratings and the photos' features to a small personal model."""
