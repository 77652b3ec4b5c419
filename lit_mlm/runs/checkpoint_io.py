"""Writes and reads the Trainer's checkpoints: atomically, with a checksum, and without running code."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint, remove_checkpoint, write_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Writes and reads as `lit_mlm.runs.checkpoints` does.

    Lightning's own stages in another folder, destroys the old file when the disk is full, and loads damaged files
    (`lit_mlm.upstream.FAULTS`).
    """

    def __init__(self) -> None:
        self.failure: InputError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a file atomically.

        An error is kept in `failure`, as it is raised on the first rank only while the others wait for it.
        """
        try:
            write_checkpoint(checkpoint, Path(path))
        except InputError as error:
            self.failure = error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a file to the CPU after verifying its checksum."""
        return read_checkpoint(path, mmap=False)

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a file and its checksum."""
        remove_checkpoint(Path(path))
