"""Token classification: tag schemes, alignment, windows and decoding."""
