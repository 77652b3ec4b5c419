"""Side-by-side measurements, one command each; results are tables with the command that made them."""
