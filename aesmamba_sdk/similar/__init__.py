"""Which photos show the same: copies, crops and bursts, as the encoder and as the eye see them."""
