"""Leaves nothing of a run that ends before its first step."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_mlm.run_folder import LOCK

OURS = ("*.yaml", "events.out.tfevents.*")
"""What a run has in its folder before its first step."""


class TakeBack(Callback):
    """Takes back what a run has written when a mistake, a fault or a signal ends it before its first step.

    Else a corrected command would find a run in its folder, and one that went on with other options their config in
    place of its own. An evaluation has no steps: whatever ends it, it is taken back. Only files of the kinds in `OURS`
    are removed from a folder that was there before; those that it had get their content back.

    Args:
        folder: of the run, before anything is written to it.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        self._new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        self._folder = folder
        self._files = {path: path.read_bytes() if path.suffix == ".yaml" else None for path in self._find_files()}
        self._is_kept = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """From here on a run is one to go on with."""
        self._is_kept = True

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restores the folder as it was."""
        if self._is_kept or not trainer.is_global_zero:
            return
        if self._folder in self._new_folders:
            for path in self._folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink()
        for path in self._find_files():
            if path not in self._files:
                path.unlink()
        for path, content in self._files.items():
            if content is not None and path.read_bytes() != content:
                path.write_bytes(content)
        for folder in self._new_folders:
            # Else another run is there by now, or our own lock, and the process removes the folder as it lets it go.
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _find_files(self) -> list[Path]:
        return [path for pattern in OURS for path in self._folder.glob(pattern)]
