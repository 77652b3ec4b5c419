"""Folds of the training sentences, for cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from lit_mlm.data.tagged.sentences import TaggedSentence, split_units
from lit_mlm.errors import InputError
from lit_mlm.options import DataOptions, Range, Size

SEED = 42
"""Of the folds, the same for all runs."""

Folds = Annotated[int, Range(least=2)]


@dataclass(frozen=True)
class FoldOptions(DataOptions):
    """Options of `TaggedDataModule` that choose a fold; the sentences are part of the fingerprint."""

    num_folds: Folds | None = None
    fold: Size | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.num_folds is None) != (self.fold is None):
            raise InputError("data.num_folds and data.fold, from 0, belong together: give both, or none")
        if self.num_folds is not None and self.fold is not None and self.fold >= self.num_folds:
            raise InputError(f"data.fold must be less than data.num_folds, {self.num_folds}, got {self.fold}")

    def split(self, sentences: Sequence[TaggedSentence]) -> dict[str, list[TaggedSentence]]:
        """Splits training sentences by document, or by sentence if there are not two documents.

        Returns:
            ``train`` and ``val``, the chosen fold, each in order.
        """
        num, fold = self.num_folds or 1, self.fold or 0

        def choose(units: list[int]) -> list[int]:
            if len(units) < num:
                raise InputError(f"data.num_folds is {num}, but there are {len(units)} training documents or sentences")
            return units[fold::num]

        train, val = split_units(sentences, SEED, choose)
        return {"train": train, "val": val}
