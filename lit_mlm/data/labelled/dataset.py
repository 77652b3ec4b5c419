"""Labelled texts as a data set."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.long_texts import TextRows


@dataclass(frozen=True)
class LabelledDataset(TextRows, Dataset[dict[str, Tensor]]):
    """Maps the key of a batch to the batch; stateless, so every worker and every restart gives the same.

    Attributes:
        labels: of each text, see `lit_mlm.batch`, shape (N,), or (N, L) of several labels.
        num_tokens: of each whole text, without special tokens, shape (N,).
    """

    labels: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    num_tokens: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        """The batch; nets need a row, so an empty batch has one that is not scored."""
        is_empty = len(key.examples) == 0
        texts = np.zeros(1, dtype=np.int64) if is_empty else key.examples
        arrays = self.make_batch(texts) | {"labels": self.labels[texts]}
        if is_empty:
            arrays |= {"labels": np.full_like(arrays["labels"], IGNORE_INDEX), "texts": np.full(1, -1)}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def list_lengths(self, keys: Iterable[BatchKey]) -> list[IntArray]:
        """The tokens of the rows of each batch."""
        return [self.row_lengths[np.isin(self.texts, key.examples)] for key in keys]
