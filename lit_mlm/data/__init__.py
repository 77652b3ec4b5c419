"""Data modules: they own reading, tokenising, cutting into blocks, masking and the order of examples."""
