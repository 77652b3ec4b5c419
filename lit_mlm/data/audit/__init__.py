"""Data reports before training."""
