"""Writes the results of a run: ``metrics.json`` and the folder ``hf``."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.runs.atomic import read_json, write_json
from lit_mlm.runs.checkpoints import RECORD, hash_checkpoint, read_checkpoint
from lit_mlm.runs.units import get_units_path, write_units
from lit_mlm.upstream import ROUNDING

PACKAGES = ("lit-mlm", "torch", "lightning", "transformers", "datasets", "tokenizers", "torchmetrics")


DESCRIBED = ("text_fingerprint", "data_fingerprint", "mask_fingerprint", "masking", "mask_rates")
"""The metadata of a split that runs must share to be compared."""


class SaveResults(Callback):
    """Writes the metrics of a run, and at the end of training its best net as a `from_pretrained` folder.

    ``val/*`` and ``hf`` both come from the best checkpoint file, so they agree. `validate` and `test` add to the
    metrics, and write the sums of each document or sentence beside them, for `python -m lit_mlm compare`.
    """

    _units: tuple[str, dict[str, Any]]

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Exports the best checkpoint and writes its metrics, those of the start and those of the last epoch.

        A resumed run keeps its test metrics while its best checkpoint stays the same.
        """
        folder = get_run_folder(trainer)
        saver = next((c for c in trainer.callbacks if isinstance(c, SaveCheckpoints)), None)
        path = saver and (saver.best_model_path or saver.last_model_path)
        if not path or not trainer.is_global_zero:
            return
        best = read_checkpoint(path)
        results = best[RECORD]["results"]
        content = {
            **_flatten(results, "start/val", "val", "train"),
            **{f"last/{key}": value for key, value in _flatten(pl_module.results, "val", "train").items()},
            "epoch": best[RECORD]["epoch"],
            "step": best["global_step"],
            "last/step": trainer.global_step,
            **_describe(trainer),
        }
        there = read_json(folder / "metrics.json")
        if (there.get("step"), there.get("data_fingerprint")) == (content["step"], content["data_fingerprint"]):
            content |= {key: value for key, value in there.items() if key.startswith("test/")}
        export_checkpoint(path, folder / "hf", content)
        write_json(folder / "metrics.json", content)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Collects the units of `validate`, before the module resets its metrics."""
        if trainer.state.fn == "validate":
            self._units = pl_module.collect_units("val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Collects the units of `test`."""
        self._units = pl_module.collect_units("test")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Adds the metrics of `validate`."""
        if trainer.state.fn == "validate":
            self._add(trainer, "val", pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Adds the metrics of `test`."""
        self._add(trainer, "test", pl_module)

    def _add(self, trainer: Any, prefix: str, pl_module: Any) -> None:
        """Replaces the metrics of an earlier evaluation of the split."""
        path = find_metrics_path(trainer)
        if trainer.is_global_zero:
            found, former = _flatten(pl_module.results, prefix), read_json(path) or {"checkpoint": trainer.ckpt_path}
            there = {key: each for key, each in former.items() if key in found or not key.startswith(f"{prefix}/")}
            write_json(path, there | _describe(trainer) | there | found)  # each key keeps its place in the file
            self._write_units(get_units_path(path, prefix), trainer, pl_module.results[prefix])

    def _write_units(self, path: Path, trainer: Any, results: dict[str, Any]) -> None:
        """Writes the units of an evaluation, or removes those of an earlier one."""
        kind, arrays = self._units
        if not arrays:
            path.unlink(missing_ok=True)
            return
        data, checkpoint = trainer.datamodule, trainer.ckpt_path
        tokenizer, labels = getattr(data, "tokenizer", None), getattr(data, "labels", None)
        about = {
            "kind": kind,
            "checkpoint": None if checkpoint is None else hash_checkpoint(Path(checkpoint)),
            "tokenizer": None if tokenizer is None else hash_tokenizer(tokenizer),
            "labels": None if labels is None else sorted(labels),
        }
        write_units(path, about | {key: results.get(key) for key in DESCRIBED}, arrays)


def get_run_folder(trainer: Trainer) -> Path:
    """Returns the run folder, the same on every rank."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def find_metrics_path(trainer: Trainer) -> Path:
    """Returns the metrics file of an evaluation: `metrics.json` for the best checkpoint."""
    folder, checkpoint = get_run_folder(trainer), Path(str(trainer.ckpt_path))
    is_other = checkpoint.resolve().parent == (folder / "checkpoints").resolve() and checkpoint.stem != "best"
    return folder / (f"metrics-{checkpoint.stem}.json" if is_other else "metrics.json")


def _describe(trainer: Any) -> dict[str, Any]:
    """Returns the data fingerprint and the package versions."""
    return {"data_fingerprint": getattr(trainer.datamodule, "fingerprint", None), "versions": list_versions()}


def list_versions() -> dict[str, str | None]:
    """Returns the versions of Python and packages, and how matrix products round."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | versions | {ROUNDING: os.environ.get(ROUNDING)}


def _flatten(results: dict[str, dict[str, Any]], *prefixes: str) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for prefix in prefixes for name, value in results.get(prefix, {}).items()}
