"""Pushes the best model to the Hub while it is trained."""

import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

from lightning.pytorch import Callback
from tqdm import tqdm

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.errors import InputError, escape_controls, shorten
from lit_mlm.inference.publish import UnreachableError, check_access, check_repo_id
from lit_mlm.options import Range, check_options
from lit_mlm.runs.checkpoints import link_or_copy

log = logging.getLogger(__name__)

FOLDER = ".push_to_hub"
"""The folder of a push in the run folder: the checkpoint, and what the process has printed."""


class PushToHub(Callback):
    """Pushes the best model so far after each validation that improved on it, and the best of all at the end.

    A push is ``python -m lit_mlm export --push_to_hub`` on a hard link to the checkpoint, in a process of its own, so
    training does not wait for it. There is one at a time; the next has the best model at its start. A push that fails
    is reported, and training continues. The token is that of ``HF_TOKEN`` or of ``hf auth login``.

    Args:
        repo_id: owner and name of the repository, ``USER/NAME``; it is made if it is missing.
        private: makes a private repository; refused for one that is public.
        license_name: of the model, for the metadata of its card, such as apache-2.0.
        wait_minutes: longest wait for a push at the end of training.
    """

    def __init__(
        self,
        repo_id: str,
        private: bool = False,
        license_name: str | None = None,
        wait_minutes: Annotated[float, Range(above=0)] = 30.0,
    ) -> None:
        check_options("PushToHub", PushToHub, {"wait_minutes": wait_minutes})
        check_repo_id("PushToHub.repo_id", repo_id)
        self.repo_id, self.private, self.license_name, self.wait_minutes = repo_id, private, license_name, wait_minutes
        self._saver: SaveCheckpoints | None = None  # on the first rank
        self._run_dir = self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._seen_step = self._tried_step = 0  # of the best model, and of the last one that was to be pushed
        self._pushed_step: int | None = None
        self._epoch = 0
        self._report = ""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Checks, on the first rank, that the token may write to the owner of the repository."""
        self._saver, self._run_dir = None, get_run_folder(trainer)
        if stage != "fit" or trainer.fast_dev_run or not trainer.is_global_zero:
            return
        self._saver = next((callback for callback in trainer.callbacks if isinstance(callback, SaveCheckpoints)), None)
        if self._saver is None:
            raise InputError("PushToHub pushes checkpoints, but trainer.enable_checkpointing is off")
        self._folder = self._run_dir / FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)  # of a killed run
        try:
            check_access(self.repo_id)
        except UnreachableError as error:
            log.warning("training starts, but may not be pushed: %s", error)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Leaves the best model of a resumed run for the end: most likely it was pushed."""
        if self._saver is not None:
            self._seen_step = self._tried_step = self._saver.best_step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Starts a push if there is a better model and no other push."""
        if self._saver is None:
            return
        if self._saver.best_step != self._seen_step:
            self._seen_step, self._epoch = self._saver.best_step, trainer.current_epoch + 1
        if self._process is not None and self._process.poll() is not None:
            self._finish()
            if self._pushed_step != self._tried_step:
                log.warning("training continues: %s", self._report)
        if self._process is None and self._seen_step != self._tried_step:
            self._start(f"Training in progress, epoch {self._epoch}")
            if self._process is None:
                log.warning("training continues: %s", self._report)

    on_train_epoch_end = on_train_batch_start

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Waits for the push of the best model, and prints where it is."""
        if self._saver is None or not self._find_checkpoint():
            return
        self._wait()
        if self._pushed_step != self._saver.best_step:
            self._start("End of training")
            self._wait()
        self._conclude()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Ends a push, as the run may have little time left."""
        if self._process is not None:
            self._kill("the run ended before")
        if self._saver is not None and self._saver.best_step:
            self._conclude()

    def _find_checkpoint(self) -> str:
        """The path of the best model; empty before there is one."""
        assert self._saver is not None
        return self._saver.best_model_path or self._saver.last_model_path

    def _start(self, message: str) -> None:
        """Starts the process that pushes the best model; reports a full disk and the like, as other failures."""
        assert self._saver is not None
        self._tried_step = self._saver.best_step
        try:
            self._launch(message)
        except OSError as error:
            self._report = f"no push was started: {shorten(error)}"
            shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self, message: str) -> None:
        self._folder.mkdir(exist_ok=True)
        checkpoint = self._folder / "model.ckpt"
        link_or_copy(Path(self._find_checkpoint()), checkpoint)
        command = [sys.executable, *self._make_command()[1:], "--checkpoint", str(checkpoint), "--message", message]
        environment = os.environ | {
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }  # leaves the devices to training
        with (self._folder / "output.txt").open("wb") as output:
            # In a session of its own, Ctrl-C does not reach it.
            self._process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def _make_command(self) -> list[str]:
        options = ["--run_dir", str(self._run_dir), "--push_to_hub", self.repo_id]
        options += ["--private"] if self.private else []
        options += ["--license", self.license_name] if self.license_name else []
        return ["python", "-m", "lit_mlm", "export", *options]

    def _wait(self) -> None:
        """Waits for the process, but not forever."""
        if self._process is None:
            return
        try:
            self._process.wait(60 * self.wait_minutes)
            self._finish()
        except subprocess.TimeoutExpired:
            self._kill(f"not done within {self.wait_minutes:g} minutes")

    def _kill(self, reason: str) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._finish()
        self._report = reason

    def _finish(self) -> None:
        """Takes the result of a process that has ended: the last line that it printed."""
        assert self._process is not None
        lines = (self._folder / "output.txt").read_text(errors="replace").strip().splitlines()
        self._report = lines[-1].removeprefix("error: ") if lines else f"exit status {self._process.returncode}"
        if self._process.returncode == 0:
            self._pushed_step = self._tried_step
        self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _conclude(self) -> None:
        """Prints where the best model is, or how to push it."""
        assert self._saver is not None
        if self._pushed_step == self._saver.best_step:
            tqdm.write(escape_controls(self._report))
        else:
            reason = f" ({self._report})" if self._report else ""
            log.warning("the best model is not on the Hub%s; push it with %s", reason, shlex.join(self._make_command()))
