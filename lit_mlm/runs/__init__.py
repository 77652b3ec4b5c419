"""What a run leaves on disk: checkpoints, progress, folders, loggers."""
