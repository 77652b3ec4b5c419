"""Masking for masked language modelling: which tokens are masked, and how."""
