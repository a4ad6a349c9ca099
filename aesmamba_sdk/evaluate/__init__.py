"""The paper's protocols: what a model is worth, in figures with intervals."""
