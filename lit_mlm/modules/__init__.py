"""Lightning modules: a `transformers` net with its loss, metrics and optimizer."""
