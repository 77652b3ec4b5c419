"""Pure functions on text and arrays: blocks, packing, special tokens; no Lightning, no files."""
