"""Names of options: old ones, those of other programs, and the likely one for an unknown name."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

RENAMED = {"data.overlap": "data.stride", "data.context_pieces": "data.context_tokens"}
"""New names of options by old name."""

OTHER_NAMES = {
    "learning_rate": "model.lr",
    "lr_scheduler_type": "model.schedule",
    "warmup_steps": "model.num_warmup_steps",
    "warmup_ratio": "model.warmup_fraction",
    "model_name_or_path": "model.model",
    "mlm_probability": "data.mask_prob",
    "per_device_train_batch_size": "data.batch_size",
    "per_device_eval_batch_size": "data.eval_batch_size",
    "num_train_epochs": "trainer.max_epochs",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "max_grad_norm": "trainer.gradient_clip_val",
    "output_dir": "run_dir",
    "seed": "seed_everything",
}
"""Options by their names in the Trainer and the recipes of `transformers`."""

SHARED = {f"model.optimizer.{name}": f"model.{name}" for name in ("lr", "weight_decay")}
"""Options of the task that apply to all optimizers, by what they replace."""


def suggest_option(name: str, siblings: Iterable[str], valid: Collection[str], dashes: str) -> str:
    """Returns the likely option for an unknown one, preferably of the same section; empty if none is close.

    Args:
        name: the unknown option.
        siblings: full names of the options of its section; empty if the section is unknown, too.
        valid: full names of all options.
        dashes: prefix of names on the command line.
    """
    if name in RENAMED:
        return f"; it is {dashes}{RENAMED[name]} now"
    if name in SHARED:
        return f"; give {dashes}{SHARED[name]}"
    last = name.rpartition(".")[2]
    if last in OTHER_NAMES and name.count(".") < 2:
        return f"; did you mean {dashes}{OTHER_NAMES[last]}?"
    own = {full.rpartition(".")[2]: full for full in siblings}
    by_last = {full.rpartition(".")[2]: full for full in sorted(valid, key=len, reverse=True)}
    # Full names of one section would be close for the section alone.
    first = (last, own, 0.6) if own else (name, {full: full for full in valid}, 0.6)
    # If the section is right, an option of another section must have exactly this name.
    for part, table, cutoff in (first, (last, by_last, 1.0 if own else 0.6)):
        if near := [match for match in get_close_matches(part, table, 1, cutoff) if table[match] != name]:
            return f"; did you mean {dashes}{table[near[0]]}?"
    return ""
