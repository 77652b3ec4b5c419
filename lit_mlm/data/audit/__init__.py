"""Reports on the data before training."""
