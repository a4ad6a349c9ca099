"""What photo apps keep beside the pixels: XMP packets, embedded and in sidecars.

Reading says what a person thinks of a photo; writing adds to sidecars alone and touches nothing
that others put there. Photos themselves are never changed.
"""
