"""Records how a net was trained, for its model card, and writes the curve of the validations."""

import os
import time
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_mlm.callbacks.save_results import get_run_folder, list_versions
from lit_mlm.inference.card.origin import describe_origin
from lit_mlm.runs.atomic import write_json
from lit_mlm.runs.hardware import describe_device

HISTORY = "history.json"
"""The file in a run folder with ``monitor``, ``mode``, the ``history`` of validations and the ``seconds`` so far."""


class RecordTraining(Callback):
    """Records data, hardware, time and the curve of a training; each checkpoint has the record of all up to it.

    Its state is what `lit_mlm.inference.card.facts.Facts` has as `training`:

    - ``origin``: of the weights, see `lit_mlm.inference.card.origin.describe_origin`;
    - ``corpora``: of the training text, the fields of `lit_mlm.data.reading.provenance.Provenance`;
    - ``headline``, ``monitor``: of the task;
    - ``seed``: of the run, None without one;
    - ``versions``: of packages by name;
    - ``sessions``: device, watts, number of devices, precision and seconds of each process;
    - ``history``: step, epoch, training loss and the headline of each validation.
    """

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}
        self._past: list[dict[str, Any]] = []  # sessions of earlier processes
        self._session: dict[str, Any] = {}
        self._began = time.monotonic()

    @property
    def history(self) -> list[dict[str, Any]]:
        """Step, epoch and metrics of each validation up to now, those before a resumption included."""
        return list(self._state.get("history", []))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begins the session of this process, after a checkpoint was loaded."""
        seed, data = os.environ.get("PL_GLOBAL_SEED"), trainer.datamodule
        self._past = self._state.get("sessions", [])
        self._state |= {
            "origin": self._state.get("origin") or describe_origin(pl_module.hparams),
            "corpora": [asdict(corpus) for corpus in getattr(data, "provenance", [])],
            "headline": list(pl_module.headline),
            "monitor": pl_module.monitor,
            "seed": None if seed is None else int(seed),
            "versions": list_versions(),
            "history": self._state.get("history", []),
        }
        self._session = {
            **describe_device(trainer.strategy.root_device),
            "num_devices": trainer.world_size,
            "precision": str(trainer.precision),
        }
        self._began = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Adds a point to the curve, before `SaveCheckpoints` writes the checkpoint."""
        if not self._session or trainer.sanity_checking:
            return
        history, results = self._state["history"], pl_module.results
        if not history and "start/val" in results:
            history.append({"step": 0, "epoch": 0, **take_headline(pl_module, "start/val")})
        loss = results.get("train", {}).get("loss")
        point = {"step": trainer.global_step, "epoch": trainer.current_epoch + 1, "train/loss": loss}
        history.append(point | take_headline(pl_module, "val"))
        folder = get_run_folder(trainer)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            content = {"monitor": pl_module.monitor, "mode": pl_module.monitor_mode, "history": history}
            seconds = sum(session["seconds"] for session in self.state_dict()["sessions"])
            write_json(folder / HISTORY, content | {"seconds": seconds})

    def state_dict(self) -> dict[str, Any]:
        """Returns the record up to now; empty before the first step."""
        if not self._session:
            return self._state
        seconds = time.monotonic() - self._began
        return self._state | {"sessions": [*self._past, self._session | {"seconds": seconds}]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the record of the processes before."""
        self._state = dict(state_dict)


def take_headline(module: Any, prefix: str) -> dict[str, float]:
    """The metrics of the task's headline in the results of an evaluation, by ``val/<name>``."""
    results = module.results.get(prefix, {})
    return {f"val/{name}": results[name] for name in module.headline if name in results}
