"""Data modules: they read, tokenise, cut into blocks or windows, mask and batch text."""
