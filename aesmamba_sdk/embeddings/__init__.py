"""f_v of photos, computed once: the cache and the stream that fills it."""
