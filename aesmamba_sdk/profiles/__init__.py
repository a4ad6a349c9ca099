"""People: their traits and how these are put into words for the model."""
