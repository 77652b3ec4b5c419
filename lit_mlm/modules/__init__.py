"""Lightning modules: a `transformers` net, its loss, its metrics and its optimizer."""
