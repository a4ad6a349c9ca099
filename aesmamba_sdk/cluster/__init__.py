"""Libraries too large for one computer: scored on a Ray cluster, results as Parquet (``ray``)."""
