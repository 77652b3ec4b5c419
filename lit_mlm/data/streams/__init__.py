"""Corpora that are streamed from disk or the Hub."""
