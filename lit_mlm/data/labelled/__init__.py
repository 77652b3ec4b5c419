"""Data modules for text classification."""
