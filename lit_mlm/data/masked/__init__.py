"""Data modules for masked language modelling."""
