"""Shows how far a run is: a bar on a terminal, a line now and then in logs and notebooks."""

import logging
import math
import sys
import time
from datetime import timedelta
from typing import Any

from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from lit_mlm.callbacks.record_training import RecordTraining, take_headline
from lit_mlm.errors import escape_controls
from lit_mlm.runs.remaining import Stopwatch, count_steps_left, find_fraction
from lit_mlm.runs.terminal import is_terminal
from lit_mlm.text.tables import MAX_WIDTH, format_number

REFRESH_SECONDS = 0.1
"""Seconds between two drawings of the bar."""

LINE_SECONDS, LINE_FRACTION, UNKNOWN_SECONDS = 60.0, 0.1, 600.0
"""A line needs a minute and a tenth of the run since the last one; if the end is unknown, ten minutes."""

NAMES = {"validate": "scoring the validation split", "test": "scoring the test split", "predict": "predicting"}


class ShowProgress(ProgressBar):
    """One bar for the whole run, with the time left, the last and the best validation and the learning rate.

    The first rank draws it on standard error, if that is a terminal. Elsewhere it prints at most ten lines, or one in
    ten minutes for a run whose end is unknown. A `ProgressBar` of the user replaces it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None
        self._is_enabled = True
        self._shown = time.monotonic()
        self._shown_fraction = 0.0
        self._watch = Stopwatch()
        self._history: list[dict[str, Any]] = []  # of validations: epoch and metrics
        self._began, self._seen, self._total = 0.0, 0, math.inf  # of the current evaluation, in batches

    def enable(self) -> None:
        """Shows progress from here on."""
        self._is_enabled = True

    def disable(self) -> None:
        """Shows nothing from here on; the finders of Lightning call it, and `enable` at their ends."""
        self._is_enabled = False
        self._stop()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins at the step of a resumed run, with its validations."""
        recorders = [callback for callback in trainer.callbacks if isinstance(callback, RecordTraining)]
        self._history = [point for recorder in recorders for point in recorder.history]
        self._shown_fraction = find_fraction(trainer)
        if not trainer.global_step:  # a resumed run may be between two epochs
            self._show_training(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Moves the bar."""
        if trainer.is_global_zero:
            self._watch.add_step(trainer.global_step)
            if self._is_due():
                self._show_training(trainer, pl_module)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins an evaluation."""
        name = "sanity_val" if trainer.sanity_checking else {"fit": "val", "validate": "val"}.get(trainer.state.fn)
        numbers = getattr(trainer, f"num_{name or trainer.state.fn.value}_batches")
        self._began, self._seen, self._total = time.monotonic(), 0, sum(numbers)
        self._show_evaluation(trainer, pl_module)

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Counts the batches of an evaluation."""
        self._seen += 1
        if self._is_due():
            self._show_evaluation(trainer, pl_module)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Adds a validation during training."""
        if trainer.state.fn != "fit":
            self._stop()
            return
        if not trainer.sanity_checking:
            self._history.append({"epoch": trainer.current_epoch + 1, **take_headline(pl_module, "val")})
        if not trainer.sanity_checking or trainer.num_sanity_val_steps == math.inf:
            self._watch.add_evaluation(time.monotonic() - self._began)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Removes the bar, before the results are printed."""
        self._stop()

    on_test_end = on_predict_end = on_fit_end = on_train_end

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leaves the terminal as it was, after Ctrl-C too."""
        self._stop()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Removes a bar that is left."""
        self._stop()

    def _show_training(self, trainer: Any, module: Any) -> None:
        epoch = f"epoch {trainer.current_epoch + 1}"
        if trainer.max_epochs not in (None, -1):
            epoch += f"/{trainer.max_epochs}"
        left = count_steps_left(trainer)
        step = f"step {trainer.global_step:,}" + ("" if left == math.inf else f"/{trainer.global_step + left:,.0f}")
        self._show(trainer, module, f"{epoch}, {step}", find_fraction(trainer), self._watch.estimate(trainer))

    def _show_evaluation(self, trainer: Any, module: Any) -> None:
        batch = f"{self._seen}/{self._total}" if self._total != math.inf else str(self._seen)
        fraction, left = self._seen / self._total, math.inf
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            label, fraction = f"epoch {trainer.current_epoch + 1}, validating", find_fraction(trainer)
            left = self._watch.estimate(trainer)
        else:
            label = "scoring the start" if trainer.sanity_checking else NAMES[trainer.state.fn]
            if self._seen and self._total != math.inf:
                left = (time.monotonic() - self._began) / self._seen * (self._total - self._seen)
        self._show(trainer, module, f"{label}, batch {batch}", fraction, left)

    def _show(self, trainer: Any, module: Any, label: str, fraction: float, left: float) -> None:
        """Draws the bar or prints a line.

        Args:
            trainer: at this place.
            module: whose metrics are shown.
            label: which step.
            fraction: of the run, from 0 to 1; NaN if unknown.
            left: seconds; infinite if unknown.
        """
        if not (self._is_enabled and trainer.is_global_zero):
            return
        now, is_known = time.monotonic(), not math.isnan(fraction)
        done = f"{fraction:.0%}" if is_known else ""
        if left != math.inf:
            done = ", ".join(filter(None, [done, f"{timedelta(seconds=round(left))} left"]))
        if not is_terminal():
            wait = LINE_SECONDS if is_known else UNKNOWN_SECONDS
            if now - self._shown >= wait and not fraction - self._shown_fraction < LINE_FRACTION:
                tqdm.write(escape_controls("; ".join(filter(None, [label, done, self._describe(trainer, module)]))))
                self._shown, self._shown_fraction = now, fraction
            return
        self._shown = now
        line = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None):
            line.add_column(no_wrap=True, ratio=ratio)
        line.add_row(Text(label), Bar(1.0, fraction if is_known else 0.0, pulse=not is_known), Text(done))
        line.width = min(MAX_WIDTH, self._start().console.width)
        metrics = Text(escape_controls(self._describe(trainer, module)), no_wrap=True, overflow="ellipsis")
        self._start().update(Group(line, metrics), refresh=True)

    def _describe(self, trainer: Any, module: Any) -> str:
        """The last validation and the best one, the loss and the learning rate."""
        parts = []
        name = next((name for name in module.headline if self._history and f"val/{name}" in self._history[-1]), None)
        if name is not None:
            scored = [point for point in self._history if module.monitor in point]
            choose = min if module.monitor_mode == "min" else max
            best = choose(scored, key=lambda point: point[module.monitor], default=self._history[-1])
            found = [format_number(point[f"val/{name}"]) for point in (self._history[-1], best)]
            parts.append(f"val {name} {found[0]}, best {found[1]} (epoch {best['epoch']})")
        if trainer.training:
            loss = trainer.progress_bar_metrics.get("train/loss_step")
            parts += [] if loss is None else [f"loss {format_number(loss)}"]
            parts += [f"lr {optimizer.param_groups[0]['lr']:.2e}" for optimizer in trainer.optimizers[:1]]
        return "; ".join(parts)

    def _is_due(self) -> bool:
        return time.monotonic() - self._shown >= (REFRESH_SECONDS if is_terminal() else LINE_SECONDS)

    def _start(self) -> Live:
        """The bar on the terminal. No thread draws it: one that holds a lock would block a forked process."""
        if self._live is None:
            stream = sys.stderr
            self._live = Live(
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # else lines would go to the terminal, not into their file
            )
            self._live.start()
            self._live.console.show_cursor(True)  # a killed process can't
            _move_handlers(stream, sys.stderr)
        return self._live

    def _stop(self) -> None:
        if self._live is not None:
            stream = sys.stderr
            self._live.stop()
            self._live = None
            _move_handlers(stream, sys.stderr)


def _move_handlers(before: Any, after: Any) -> None:
    """Lets log messages be printed above the bar, by the stream in its place, and below it again."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for handler in (handler for logger in loggers for handler in getattr(logger, "handlers", ())):
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)
