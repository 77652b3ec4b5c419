"""Inference functions on (net, tokenizer), without Lightning."""
