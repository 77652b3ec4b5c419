"""Removes the files of a run that failed before its first step."""

import shutil
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_mlm.runs.folder import LOCK, is_new
from lit_mlm.runs.loggers import IDS

OURS = ("*.yaml", "events.out.tfevents.*", IDS, "validate/*", "test/*", "predict/*")
"""Files that a run writes before its first step."""

SAVED = ("checkpoints/*.ckpt", "metrics*.json", "predictions.jsonl", "hf")
"""Files worth keeping, whoever wrote them."""


class CleanUpFailedRun(Callback):
    """Undoes what a run wrote if an error or signal ends it before its first step.

    Otherwise a corrected command would find a run in its folder, and a resumed one would have its config replaced. An
    evaluation that fails is always undone. A folder made by this process is emptied, unless it has files of `SAVED`; in
    an existing one only new files of `OURS` are removed, and old ones restored.

    Args:
        folder: of the run, held by this process and not yet written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._is_new = folder.absolute(), is_new(folder)
        self._there = set(self._find_files())
        self._files = {path: path.read_bytes() for path in self._there if "tfevents" not in path.name}
        # Shared with the processes of `ddp_fork` and `ddp_spawn`, which run the steps.
        self._is_kept = RawValue("b", False)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Keeps the files from here on."""
        self._is_kept.value = True

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restores the folder; the process removes an empty one when it releases it."""
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
            if path.parent != self._folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
        for path, content in self._files.items():
            if path.read_bytes() != content:
                path.write_bytes(content)

    def _find_files(self) -> list[Path]:
        return [path for pattern in OURS for path in self._folder.glob(pattern) if path.is_file()]
