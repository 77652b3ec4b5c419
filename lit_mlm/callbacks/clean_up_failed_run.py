"""Removes the files of a run that failed before its first step."""

import shutil
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_mlm.runs.folder import LOCK, is_new
from lit_mlm.runs.loggers import IDS

OURS = ("*.yaml", "events.out.tfevents.*", IDS)
"""What a run has in its folder before its first step."""

SAVED = ("checkpoints/*.ckpt", "metrics*.json", "predictions.jsonl", "hf")
"""What is worth keeping, whoever wrote it."""


class CleanUpFailedRun(Callback):
    """Takes back what a run has written when a mistake, a fault or a signal ends it before its first step.

    Else a corrected command would find a run in its folder, and one that went on with other options their config in
    place of its own. An evaluation has no steps: whatever ends it, it is taken back. A folder that this process has
    made is emptied, unless something of `SAVED` is in it; from one that was there before only new files of the kinds
    in `OURS` are removed, and those that it had get their content back.

    Args:
        folder: of the run, held by this process, before anything is written to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._is_new = folder.absolute(), is_new(folder)
        self._there = set(self._find_files())
        self._files = {path: path.read_bytes() for path in self._there if "tfevents" not in path.name}
        # Shared with the processes that `ddp_fork` and `ddp_spawn` start: the steps are theirs.
        self._is_kept = RawValue("b", False)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """From here on a run is one to go on with."""
        self._is_kept.value = True

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restores the folder as it was; the process removes an empty one as it lets it go."""
        if self._is_kept.value or not trainer.is_global_zero:
            return
        if not self._is_new:
            self._restore_files()
        elif not any(path for pattern in SAVED for path in self._folder.glob(pattern)):
            for path in self._folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink()

    def _restore_files(self) -> None:
        for path in set(self._find_files()) - self._there:
            path.unlink()
        for path, content in self._files.items():
            if path.read_bytes() != content:
                path.write_bytes(content)

    def _find_files(self) -> list[Path]:
        return [path for pattern in OURS for path in self._folder.glob(pattern)]
