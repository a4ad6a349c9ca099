"""How fast the scan, the encoders, training and a folder of photos are: ``make bench``."""
