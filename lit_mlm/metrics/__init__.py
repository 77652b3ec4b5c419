"""Exact metrics: float64 sums over the corpus, divided last."""
