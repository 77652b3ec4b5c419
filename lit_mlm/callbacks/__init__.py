"""Callbacks, each named by its effect."""
