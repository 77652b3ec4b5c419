"""Suggests options when a device runs out of memory."""

from typing import Any

from lightning.pytorch import Callback

from lit_mlm.errors import is_out_of_memory


class ExplainOutOfMemory(Callback):
    """Adds the shape of the batch and memory-saving options to torch's error."""

    def __init__(self) -> None:
        self._batch = "the first batch"

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any, **kwargs: Any) -> None:
        """Notes the shape of the batch."""
        split = "training" if trainer.training else "test" if trainer.testing else "validation"
        rows, columns = batch.get("packing", batch["input_ids"]).shape
        self._batch = f"a {split} batch of {rows} x {columns} tokens"

    on_validation_batch_start = on_test_batch_start = on_train_batch_start

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Adds a note, which Python also shows below a traceback."""
        if is_out_of_memory(exception):
            data = getattr(trainer.datamodule, "hparams", {})
            exception.add_note(f"at {self._batch}; {_advise(trainer, pl_module.hparams, data, self._batch)}")


def _advise(trainer: Any, model: Any, data: Any, batch: str) -> str:
    """Names options that save memory, with their values; those that do not change the training come first."""
    advice = []
    is_training = "training" in batch
    is_packed = data.get("pack_length") is not None and (is_training or "block_size" in data)
    size = data.get("batch_size") if is_training else data.get("eval_batch_size") or data.get("batch_size")
    name = "batch_size" if is_training else "eval_batch_size"
    if data.get("max_tokens_per_batch") is not None:
        name, size = "max_tokens_per_batch", data["max_tokens_per_batch"]
    if size is not None:
        more = f" with trainer.accumulate_grad_batches above {trainer.accumulate_grad_batches}" if is_training else ""
        advice.append(f"data.{name} below {size}{more}")
    lengths = ("pack_length",) if is_packed else ("block_size", "window")
    advice += [f"a smaller data.{option}" for option in lengths if option in data]
    if is_training and not model.get("gradient_checkpointing"):
        advice.append("model.gradient_checkpointing true")
    if trainer.precision == "32-true":
        advice.append("trainer.precision bf16-mixed")
    if is_training and trainer.world_size > 1:
        advice.append("overlays/fsdp.yaml")
    return f"try {', '.join(advice[:-1])}{' or ' if len(advice) > 1 else ''}{advice[-1]}" if advice else ""
