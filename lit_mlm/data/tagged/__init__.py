"""Data modules for token classification."""
