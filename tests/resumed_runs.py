"""Runs that keep a copy of their folder at every step, and what sets two runs apart."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from lit_mlm.runs.checkpoints import read_checkpoint

KEEP = ("--save_every_n_steps", "1", "--trainer.callbacks+=tests.resumed_runs.KeepFolders")
"""Options of a run that is resumed from any of its steps."""


class KeepFolders(Callback):
    """Copies what a run of `KEEP` would go on from into ``NAME-kept/STEP`` beside its folder, NAME.

    ``STEP-before`` is the same before the validation that is due then. A run that goes on copies nothing.
    """

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        self._keep(trainer, f"{trainer.global_step:02}")

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._keep(trainer, f"{trainer.global_step:02}-before")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self._keep(trainer, f"{trainer.global_step:02}")

    def _keep(self, trainer: Any, name: str) -> None:
        folder = Path(trainer.log_dir)
        target = folder.with_name(f"{folder.name}-kept") / name
        is_there = (folder / "checkpoints" / "last.ckpt").exists() and not target.exists()
        if trainer.ckpt_path is None and trainer.is_global_zero and is_there:
            shutil.copytree(folder / "checkpoints", target / "checkpoints")
            shutil.copy(folder / "config.yaml", target)


def find_differences(one: Path, two: Path) -> dict[str, Any]:
    """What differs between the ends of two runs.

    Args:
        one: folder of a run that has ended.
        two: the same.

    Returns:
        The largest absolute difference of the weights and of the optimizer's tensors, of the best and the last
        checkpoint; the figures of ``metrics.json`` that differ; the step of both, or of each.
    """
    found: dict[str, Any] = {"weights": 0.0, "optimizer": 0.0}
    for name in ("last", "best"):
        a, b = (read_checkpoint(folder / "checkpoints" / f"{name}.ckpt") for folder in (one, two))
        if a["global_step"] != b["global_step"]:
            found["step"] = (name, a["global_step"], b["global_step"])
        if [x["_last_lr"] for x in a["lr_schedulers"]] != [x["_last_lr"] for x in b["lr_schedulers"]]:
            found["rate"] = name
        tensors = zip(_get_tensors(a), _get_tensors(b), strict=True)
        for key, (ours, theirs) in zip(("weights", "optimizer"), tensors, strict=True):
            found[key] = max(found[key], *(_subtract(ours[part], theirs[part]) for part in ours | theirs))
    a, b = (json.loads((folder / "metrics.json").read_text()) for folder in (one, two))
    return found | {"metrics": [key for key in a | b if a.get(key) != b.get(key)]}


NO_DIFFERENCES = {"weights": 0.0, "optimizer": 0.0, "metrics": []}


def _get_tensors(checkpoint: dict[str, Any]) -> list[dict[Any, torch.Tensor]]:
    states = checkpoint["optimizer_states"][0]["state"]
    moments = {(number, name): value for number, state in states.items() for name, value in state.items()}
    return [checkpoint["state_dict"], moments]


def _subtract(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one.double() - two.double()).abs().max())
