"""Files of a run: checkpoints, progress, folders, loggers."""
