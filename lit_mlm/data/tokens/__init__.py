"""Tokenizers and token ids."""
