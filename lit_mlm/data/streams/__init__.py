"""Streams corpora from disk or the Hub."""
