"""Exact metrics: sums over the corpus in float64, divided last."""
