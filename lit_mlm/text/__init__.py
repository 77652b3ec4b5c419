"""Pure functions on text and arrays, without Lightning or I/O."""
