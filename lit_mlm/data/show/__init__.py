"""Shows examples in a terminal."""
