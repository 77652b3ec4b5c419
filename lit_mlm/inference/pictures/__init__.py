"""Pictures of an evaluation, which are tables where matplotlib is not installed."""
