"""Confirms F1 of entities by `seqeval`, an implementation of its own, at the end of `validate` and `test`."""

import importlib.metadata
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Callback

from lit_mlm.callbacks.save_predictions import gather
from lit_mlm.metrics.words import ScoredTags

SEQEVAL_PREFIXES = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""Prefixes that seqeval's default mode does not know, as those that it does."""


class ConfirmF1(Callback):
    """Compares F1 with that of `seqeval` on the tags of all ranks; a difference is an error. Plain tags have no F1."""

    confirmed: str | None = None
    """What was confirmed, for the line of the metrics."""

    sentences: dict[tuple[int, int], ScoredTags]
    """The tags of the last evaluation, by loader and sentence; of all ranks once it has ended."""

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Starts over."""
        self.sentences, self.confirmed = {}, None

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collects the tags of a batch."""
        if trainer.state.fn != "fit" and isinstance(outputs, dict):
            found = {index: tags for index, tags in outputs.items() if isinstance(tags, ScoredTags)}
            self.sentences |= {(dataloader_idx, index): tags for index, tags in found.items()}

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Compares; before the metrics are written."""
        metrics = pl_module.results.get({"validate": "val"}.get(trainer.state.fn, trainer.state.fn), {})
        self.sentences = gather(trainer, self.sentences)
        if "f1" not in metrics or not self.sentences or getattr(trainer.datamodule, "scheme", None) is None:
            return
        scheme = trainer.datamodule.scheme
        ours, theirs = metrics["f1"], compute_seqeval_f1(self.sentences.values(), scheme)
        if abs(ours - theirs) > 1e-9:
            raise RuntimeError(f"F1 is {ours}, but seqeval's is {theirs}, on {len(self.sentences):,} sentences")
        version = importlib.metadata.version("seqeval")
        self.confirmed = f"F1 confirmed by seqeval {version} on {len(self.sentences):,} sentences"

    on_validation_start, on_validation_batch_end = on_test_start, on_test_batch_end

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Compares after `validate`; the validations of `fit` are not compared."""
        if trainer.state.fn == "validate":
            self.on_test_end(trainer, pl_module)


def compute_seqeval_f1(sentences: Iterable[ScoredTags], scheme: str) -> float:
    """Returns `seqeval.metrics.f1_score` in its default mode, conlleval's.

    >>> compute_seqeval_f1([ScoredTags(["U-LOC", "O"], ["U-LOC", "U-LOC"], [0.9, 0.4])], "BILOU")
    0.6666666666666666

    Args:
        sentences: gold and found tags.
        scheme: of the tags; those of IO get a prefix.
    """
    from seqeval.metrics import f1_score  # slow to import

    def rename(tags: list[str]) -> list[str]:
        if scheme == "IO":
            return [tag if tag == "O" else f"I-{tag}" for tag in tags]
        return [SEQEVAL_PREFIXES.get(tag[0], tag[0]) + tag[1:] for tag in tags]

    gold, found, _ = zip(*sentences, strict=True)
    return float(f1_score([*map(rename, gold)], [*map(rename, found)], zero_division=0))
