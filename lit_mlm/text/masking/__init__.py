"""Masked language modelling: which tokens are masked, and by what."""
