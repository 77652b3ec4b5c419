"""How the Trainer's checkpoints reach the disk and come back: whole, with a checksum, and without code."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint, remove_checkpoint, write_checkpoint


class SafeCheckpointIO(CheckpointIO):
    """Writes and reads as `lit_mlm.runs.checkpoints` does.

    Lightning's own stages in a temporary folder elsewhere, destroys the old file where the disk is full
    (Lightning #21253), and loads damaged ones.
    """

    def __init__(self) -> None:
        self.failure: InputError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a file whole or not at all.

        A failure is kept in `failure`: it is the first rank's alone, and the others wait for this one.
        """
        try:
            write_checkpoint(checkpoint, Path(path))
        except InputError as error:
            self.failure = error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a file on the CPU, once its checksum is right.

        Raises:
            InputError: if it is damaged, or lit-mlm did not write it.
        """
        return read_checkpoint(path, mmap=False)

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a file and its checksum."""
        remove_checkpoint(Path(path))
