"""Token classification by 1, 2 and 3 processes: ``python -m tests.tagging_processes MODEL CACHE_DIR``.

Processes are forked from this one, which has imported all, so that the test of many of them is quick. What comes out is
in the folders that it is run in, named after the number of processes and what they did.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from lit_mlm import CoNLLDataModule, TokenClassification
from lit_mlm.callbacks.save_results import SaveResults
from tests.conftest import FIXTURES

VALIDATIONS: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, {"batch_size": 7}),
    (2, {"batch_size": 7}),
    (3, {"max_tokens_per_batch": 150}),
    (3, {"batch_size": 1000}),  # one batch, so that two of the three have none
)
"""The number of processes, and the options of the data."""


class SaveWeights(Callback):
    """Leaves the weights and the number of steps: what is in a fork stays there."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            torch.save({"weights": pl_module.net.state_dict(), "step": trainer.global_step}, self.path)


def make_trainer(folder: Path, num_processes: int, **options: Any) -> Trainer:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    strategy = "ddp_fork" if num_processes > 1 else "auto"
    shape: dict[str, Any] = {"accelerator": "cpu", "devices": num_processes, "strategy": strategy}
    return Trainer(default_root_dir=folder, enable_checkpointing=False, **shape, **quiet, **options)


def make_data(cache_dir: str, **options: Any) -> CoNLLDataModule:
    return CoNLLDataModule(
        data_dir=str(FIXTURES / "conll"), cache_dir=cache_dir, window=14, stride=3, context_tokens=4, **options
    )


def validate(model: str, cache_dir: str) -> None:
    """Leaves a ``metrics.json`` in ``validate-I`` for each of `VALIDATIONS`."""
    for i, (num, options) in enumerate(VALIDATIONS):
        trainer = make_trainer(Path(f"validate-{i}"), num, callbacks=[SaveResults()])
        trainer.validate(TokenClassification(model), make_data(cache_dir, **options), verbose=False)


def fit(model: str, cache_dir: str) -> None:
    """Leaves weights and steps after training in ``fit-PROCESSES-LENGTH.pt``.

    The softmax makes the gradient of a key's bias 0 but for rounding, which AdamW with its usual `eps` makes steps of.
    """
    for by_length in (True, False):
        for num, accumulation in ((1, 4), (2, 2)):
            seed_everything(1, verbose=False)
            module = TokenClassification(model, lr=1e-3, eps=1e-6, class_weights={"O": 0.5}, label_smoothing=0.1)
            options: dict[str, Any] = {"max_epochs": 1, "gradient_clip_val": 1.0, "limit_val_batches": 0}
            options["callbacks"] = [SaveWeights(f"fit-{num}-{by_length}.pt")]
            trainer = make_trainer(Path(), num, accumulate_grad_batches=accumulation, **options)
            trainer.fit(module, make_data(cache_dir, batch_size=24, group_by_length=by_length))


if __name__ == "__main__":
    validate(*sys.argv[1:])
    fit(*sys.argv[1:])
