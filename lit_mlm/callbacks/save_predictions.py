"""Writes ``predictions.jsonl``: what a task predicts of each example of a split, in input order."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, Trainer
from torch import distributed

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.errors import InputError
from lit_mlm.inference.tag import group_words
from lit_mlm.runs.atomic import write_lines
from lit_mlm.text.tagging.schemes import Scheme

Tagged = tuple[list[str], list[float]]
"""The tags of a sentence's words and their probabilities."""


class SavePredictions(Callback):
    """Writes the predictions, one line per example: what `predict_step` gives by index, in JSON's types.

    Of tagged words a line has ``words``, ``tags`` and ``entities``, each with ``type``, ``score``, ``text``, ``start``
    and ``end``, in characters of the words joined by spaces.
    """

    path: Path
    """Known once the file is written."""

    num_predictions = 0
    """Lines written."""

    def on_predict_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Starts over; refuses a Trainer that would skip sentences."""
        limit = trainer.limit_predict_batches
        if isinstance(limit, int) or limit < 1.0:
            option = "fast_dev_run" if trainer.fast_dev_run else "limit_predict_batches"  # type: ignore[attr-defined]
            raise InputError(f"trainer.{option} would leave examples without a prediction: leave it out")
        self._found: dict[int, Any] = {}

    def on_predict_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        """Collects the predictions of a batch."""
        self._found |= outputs

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Gathers the predictions of all ranks and writes them."""
        self.path = get_run_folder(trainer) / "predictions.jsonl"
        parts: list[Any] = [self._found]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            distributed.all_gather_object(parts, self._found)
        found = {index: prediction for part in parts for index, prediction in part.items()}
        words: Any = getattr(trainer.datamodule, "predicted_words", None)
        self.num_predictions = len(found if words is None else words)
        if trainer.is_global_zero and words is None:
            write_lines(self.path, (json.dumps(found[index], ensure_ascii=False) for index in sorted(found)))
        elif trainer.is_global_zero:
            write_lines(self.path, format_sentences(words, found, trainer.datamodule.scheme))


def format_sentences(words: Sequence[Sequence[str]], found: dict[int, Tagged], scheme: Scheme | None) -> Iterator[str]:
    """Yields a JSON object for each sentence, given predictions by sentence index; `scheme` is that of the tags.

    Raises:
        RuntimeError: if tags of a sentence are missing.
    """
    for index, sentence in enumerate(words):
        tags, scores = found.get(index, ([], []))
        if len(tags) != len(sentence):
            raise RuntimeError(f"sentence {index} has {len(sentence)} words, but {len(tags)} tags were predicted")
        tagged = group_words(sentence, tags, np.array(scores, dtype=np.float32), scheme)
        record = {"words": tagged.words, "tags": tagged.tags, "entities": tagged.entities}
        yield json.dumps(record, ensure_ascii=False)
