"""Examples as text for a terminal."""
