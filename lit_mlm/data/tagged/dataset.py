"""Tagged sentences as a data set, and their counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.tagging.alignment import EncodedWords
from lit_mlm.text.tagging.rows import TaggedRows, count_words
from lit_mlm.text.tagging.schemes import Scheme, find_spans


@dataclass(frozen=True)
class TaggedDataset(TaggedRows, Dataset[dict[str, Tensor]]):
    """Maps the key of a batch to the batch; stateless, so every worker and every restart gives the same.

    Attributes:
        documents: number of the document of each sentence, shape (S,); None if unknown.
    """

    documents: IntArray | None = None

    def __getitem__(self, key: BatchKey) -> dict[str, Tensor]:
        """The batch; nets need a row, so an empty batch has one without scored positions."""
        is_empty = len(key.examples) == 0
        arrays = self.make_batch(np.zeros(1, dtype=np.int64) if is_empty else key.examples)
        if is_empty:
            arrays |= {"labels": np.full_like(arrays["labels"], IGNORE_INDEX), "sentences": np.full(1, -1)}
            arrays["words"] = np.full_like(arrays["words"], NO_WORD)
        if self.documents is not None:
            arrays["documents"] = self.documents[arrays["sentences"]]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def count_texts(
    sentences: Sequence[TaggedSentence],
    encoded: Sequence[EncodedWords],
    has_entities: bool,
    truncation: int | None,
    scheme: Scheme | None = None,
) -> dict[str, int]:
    """Counts sentences, words and entities, and those that truncation would lose.

    A word is lost if its first token is truncated, an entity if any of its words is.

    Args:
        sentences: as in the files, in any scheme.
        encoded: their tokens.
        has_entities: whether the tags have a scheme.
        truncation: tokens of a sentence that truncation keeps; None for all.
        scheme: as in `find_spans`.
    """
    num_words = [len(sentence.words) for sentence in sentences]
    kept = [count_words(sentence, truncation) for sentence in encoded]
    counts = {"num_sentences": len(sentences), "num_words": sum(num_words)}
    counts["num_words_lost_by_truncation"] = sum(num_words) - sum(kept)
    if has_entities:
        ends = [[span.end for span in find_spans(sentence.tags, scheme)] for sentence in sentences]
        counts["num_gold_entities"] = sum(map(len, ends))
        lost = sum(end > num_kept for found, num_kept in zip(ends, kept, strict=True) for end in found)
        counts["num_entities_lost_by_truncation"] = lost
    return counts
