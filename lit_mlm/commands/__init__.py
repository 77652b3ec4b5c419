"""Commands that need no Trainer: arguments in, text or JSON out."""
