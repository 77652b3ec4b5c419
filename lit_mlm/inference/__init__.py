"""Library functions on (net, tokenizer): what commands, callbacks and notebooks call."""
