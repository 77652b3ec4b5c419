"""Writes ``predictions.jsonl``: what a task predicts of each example of a split, in input order."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from lightning.pytorch import Callback, Trainer
from torch import distributed

from lit_mlm.callbacks.save_results import get_run_folder
from lit_mlm.errors import InputError
from lit_mlm.inference.tag import group_words
from lit_mlm.runs.atomic import write_lines
from lit_mlm.text.tagging.schemes import Scheme

K = TypeVar("K")
V = TypeVar("V")

Tagged = tuple[list[str], list[float]]
"""The tags of a sentence's words and their probabilities."""


class SavePredictions(Callback):
    """Writes the predictions, one line per example: what `predict_step` gives by index, in JSON's types.

    Of tagged words a line has the ``index`` of the sentence, ``words``, their ``tags`` and the ``scores`` of these, and
    ``entities``, each with ``type``, ``score``, ``text``, ``start`` and ``end``, in characters of the words joined by
    spaces; and, if the data has them, the number of the ``document``, and the ``gold`` tags.
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
        found = gather(trainer, self._found)
        sentences: Any = getattr(trainer.datamodule, "predicted_sentences", None)
        self.num_predictions = len(found if sentences is None else sentences)
        if trainer.is_global_zero and sentences is None:
            write_lines(self.path, (json.dumps(found[index], ensure_ascii=False) for index in sorted(found)))
        elif trainer.is_global_zero:
            write_lines(self.path, format_sentences(sentences, found, trainer.datamodule.scheme))


def gather(trainer: Any, found: dict[K, V]) -> dict[K, V]:
    """Returns what all ranks have found, in one dictionary on each."""
    parts: list[Any] = [found]
    if trainer.world_size > 1:
        parts = [None] * trainer.world_size
        distributed.all_gather_object(parts, found)
    return {key: value for part in parts for key, value in part.items()}


def format_sentences(sentences: Sequence[Any], found: dict[int, Tagged], scheme: Scheme | None) -> Iterator[str]:
    """Yields a JSON object for each sentence.

    Args:
        sentences: as in `lit_mlm.batch.TaggedSource.predicted_sentences`.
        found: predictions by sentence index.
        scheme: of the tags.

    Raises:
        RuntimeError: if tags of a sentence are missing.
    """
    for index, sentence in enumerate(sentences):
        words, (tags, scores) = sentence.words, found.get(index, ([], []))
        if len(tags) != len(words):
            raise RuntimeError(f"sentence {index} has {len(words)} words, but {len(tags)} tags were predicted")
        tagged = group_words(words, tags, np.array(scores, dtype=np.float32), scheme)
        record = {"index": index, "words": tagged.words, "tags": tagged.tags, "scores": [round(s, 6) for s in scores]}
        known = {name: getattr(sentence, name) for name in ("document", "gold")}
        record |= {"entities": tagged.entities, **{name: value for name, value in known.items() if value is not None}}
        yield json.dumps(record, ensure_ascii=False)
