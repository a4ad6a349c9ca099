"""Why a photo has its score: attributes, regions of the photo, and the person's own taste."""
