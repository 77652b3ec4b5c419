"""New words in the vocabulary of a pretrained model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.reading.documents import iterate_texts
from lit_mlm.data.reading.files import BadRecordError, decode_lines, read_bytes
from lit_mlm.data.tokens.vocabulary import add_words, find_split_words, measure_fertility
from lit_mlm.errors import InputError
from lit_mlm.options import Count, DataOptions, Range, refuse_without
from lit_mlm.runs.changes import refuse_changes


@dataclass(frozen=True)
class NewWordOptions(DataOptions):
    """Options of `BlocksDataModule` that choose the new words."""

    new_words: list[str] | str | None = None
    num_new_words: Count | None = None
    min_pieces: Annotated[int, Range(least=2)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without("data.num_new_words", self.num_new_words, min_pieces=self.min_pieces)
        if self.new_words is not None and self.num_new_words is not None:
            raise InputError(
                "data.new_words and data.num_new_words are mutually exclusive: both say which words to add"
            )

    def refuse_with_trained(self, vocab_size: int | None) -> None:
        """Rejects new words for a tokenizer that is trained on the text."""
        for name in ("new_words", "num_new_words"):
            if getattr(self, name) is not None and vocab_size is not None:
                raise InputError(f"data.{name} extends an existing tokenizer, but data.vocab_size trains a new one")

    def add(self, tokenizer: PreTrainedTokenizerBase, documents: Mapping[str, Dataset]) -> "Vocabulary":
        """Adds the words to a copy of a tokenizer; `documents` has the training split if they are found in it."""
        words = self.new_words or []
        if isinstance(words, str):
            words = read_words(Path(words).expanduser())
        if self.num_new_words is not None:
            texts = iterate_texts(documents["train"])
            words = find_split_words(texts, tokenizer, self.num_new_words, self.min_pieces or 3)
        extended, new_ids = add_words(tokenizer, words) if words else (tokenizer, {})
        if not new_ids:
            return Vocabulary(tokenizer)
        metrics: dict[str, dict[str, Any]] = {}
        for split, texts in documents.items():
            metrics[split] = {"num_new_words": len(new_ids)}
            for end, each in (("_before", tokenizer), ("", extended)):
                found = measure_fertility(iterate_texts(texts), each)
                metrics[split] |= {f"fertility{end}": found.fertility, f"split_fraction{end}": found.split_fraction}
        return Vocabulary(extended, new_ids, {"options": asdict(self), "facts": metrics})

    def keep(self, tokenizer: PreTrainedTokenizerBase, record: dict[str, Any]) -> "Vocabulary":
        """The vocabulary of a checkpoint with a `record` of its training; rejects options for other words."""
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        refuse_changes("data", asked, dict.fromkeys(asked) | record.get("options", {}))
        return Vocabulary(tokenizer, record=record)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer and its new words.

    Attributes:
        tokenizer: with the words.
        new_words: old token ids by the id of the new word.
        record: options, and metrics of each split, as plain data for a checkpoint.
    """

    tokenizer: PreTrainedTokenizerBase
    new_words: dict[int, list[int]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    def get_metrics(self, split: str) -> dict[str, float | int | str]:
        """The number of new words and their effect on a split; empty without new words."""
        metrics: dict[str, float | int | str] = self.record.get("facts", {}).get(split, {})
        return metrics

    def describe(self) -> str:
        """Describes the number of new words and their effect on the training split, or else the first one."""
        splits = self.record["facts"]
        split = "train" if "train" in splits else next(iter(splits))
        found = splits[split]
        return (
            f"{found['num_new_words']:,} words added: {found['fertility_before']:.4f} -> {found['fertility']:.4f} "
            f"tokens per word of {split}, {found['split_fraction_before']:.2%} -> {found['split_fraction']:.2%} split"
        )


def read_words(path: Path) -> list[str]:
    """The non-blank lines of a file."""
    try:
        lines = list(decode_lines(path, read_bytes(path), "utf-8"))
        for line in lines:
            if line.bad:
                raise line.bad
    except BadRecordError as error:
        raise InputError(f"data.new_words must be a list, [{path}], or a file: {error}") from error
    return [line.text.strip() for line in lines if line.text.strip()]
