"""The examples of a split: chosen blocks of its text, masked, and optionally packed into rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lit_mlm.data.masked.blocks import BlockCutter, BlockOptions
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.documents import TokenizedText
from lit_mlm.data.masked.masks import MaskOptions
from lit_mlm.data.masked.mixture import Mixture, find_sources
from lit_mlm.data.masked.samples import SampleOptions
from lit_mlm.data.masked.text_size import TextSize, measure_blocks
from lit_mlm.data.packed import PackedExamples, describe_packing, pack_examples
from lit_mlm.data.reading.cache_folder import hash_json
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.blocks import BlockTable, find_shared_documents
from lit_mlm.text.masking.masking import Masking
from lit_mlm.text.packing import find_padding


@dataclass(frozen=True)
class SplitMaker:
    """Makes the examples of splits.

    Attributes:
        cutter: cuts documents into blocks.
        samples: chooses blocks.
        masks: options of the masks.
        masking: masks blocks; the same for all splits.
        pad_id: of the tokenizer.
        train_seed: of the training masks.
        pack_length: tokens of a row, special tokens included; None without packing.
        is_evaluation: tells the unit of each token, see `lit_mlm.batch`, and masks the training split as any other.
    """

    cutter: BlockCutter
    samples: SampleOptions
    masks: MaskOptions
    masking: Masking
    pad_id: int
    train_seed: int
    pack_length: int | None
    is_evaluation: bool = False

    def cut(self, source: str, text: TokenizedText) -> BlockTable:
        """The blocks of a text, at least one."""
        table, options = self.cutter.cut(text.tokens.document_lengths, text.num_documents), self.cutter.options
        if len(table) == 0:
            raise InputError(
                f"the {source} split has no blocks: {sum(text.num_documents)} documents, {len(text.tokens.ids)} "
                f"tokens, data.block_size {options.block_size}, data.drop_tail {options.drop_tail}; give more text or "
                "a smaller block size"
            )
        return table

    def make(self, split: str, text: TokenizedText, table: BlockTable, weights: Mapping[str, float]) -> "BlockSplit":
        """Makes the examples of a split.

        Args:
            split: train, val or test.
            text: of its source.
            table: blocks of the text.
            weights: of the sources by name, if training mixes any.
        """
        examples = self.make_blocks(split, text, table)
        sources = self._find_sources(text, examples) if weights and self._trains(split) else None
        packed = mixture = None
        if self.pack_length is not None:
            packed = pack_examples(examples, self.pack_length, ("block", "data.block_size"), sources)
            sources = None if sources is None else sources[packed.find_firsts()]
        if sources is not None:
            mixture = Mixture(weights, sources, "block" if packed is None else "row")
        num_shared = 0
        if split == "val" and self.samples.get_source("val") == "train":
            trained_on = self.samples.choose("train", len(table))
            num_shared = len(find_shared_documents(text.tokens.document_lengths, table, examples.chosen, trained_on))
        return BlockSplit(text, examples, packed, mixture, num_shared)

    def make_blocks(self, split: str, text: TokenizedText, table: BlockTable) -> MaskedBlocks:
        """The chosen blocks of a text, masked."""
        is_training = self._trains(split)
        return MaskedBlocks(
            stream=text.tokens.ids,
            table=table,
            chosen=self.samples.choose(split, len(table)),
            special_tokens=self.cutter.special_tokens,
            masking=self.masking,
            seed=self.train_seed if is_training else self.masks.eval_seed,
            pad_id=self.pad_id,
            word_starts=text.tokens.word_starts,
            schedule=self.masks.schedule if is_training else None,
            unit_ends=find_unit_ends(text, table) if self.is_evaluation else None,
        )

    def _trains(self, split: str) -> bool:
        return split == "train" and not self.is_evaluation

    def _find_sources(self, text: TokenizedText, examples: MaskedBlocks) -> IntArray:
        """The source of each example."""
        sources = find_sources(examples.table.starts, text.tokens.document_lengths, text.num_documents)
        return sources[examples.chosen]


@dataclass(frozen=True)
class BlockSplit:
    """The examples of a split.

    Attributes:
        text: of their source.
        examples: masked blocks.
        packed: rows of packed blocks; None without packing.
        mixture: of training sources; None if there is one only.
        num_shared: validation blocks that share a document with training; above 0 only if cut from the same text.
    """

    text: TokenizedText
    examples: MaskedBlocks
    packed: PackedExamples | None
    mixture: Mixture | None
    num_shared: int

    def deal(self, num_epochs: float = 1.0) -> MaskedBlocks | PackedExamples:
        """The examples, or their packed rows, for a training of `num_epochs`."""
        examples = replace(self.examples, num_epochs=num_epochs)
        return examples if self.packed is None else replace(self.packed, examples=examples)

    @cached_property
    def text_size(self) -> TextSize | None:
        """The size of the text in the blocks by document; None if unknown."""
        table, chosen = self.examples.table, self.examples.chosen
        return measure_blocks(self.text, table.starts[chosen], table.ends[chosen])

    def measure_units(self) -> tuple[str, dict[str, IntArray]]:
        """The kind and the sizes of the units, as in `lit_mlm.batch.TextSource`."""
        if not has_documents(self.text):
            return "block", {}
        size = self.text_size
        return "document", {} if size is None else {"tokens": size.num_tokens, "bytes": size.num_bytes}


def has_documents(text: TokenizedText) -> bool:
    """Whether a text has several documents with tokens."""
    return int((text.tokens.document_lengths > 0).sum()) > 1


def find_unit_ends(text: TokenizedText, table: BlockTable) -> IntArray:
    """One past the last token of each unit, shape (U,): of each document, or of each block of a single document."""
    return np.cumsum(text.tokens.document_lengths) if has_documents(text) else table.ends


def collect_metadata(splits: Sequence[BlockSplit]) -> dict[str, float | int | str]:
    """A hash of the texts, tokens per byte if known, numbers of blocks, dropped tokens and rows, for the metrics.

    Args:
        splits: a split, or its sets.
    """
    found: dict[str, float | int | str] = {
        "text_fingerprint": hash_json([split.text.key for split in splits]),
        "num_blocks": sum(len(split.examples) for split in splits),
        "num_blocks_shared_with_train": sum(split.num_shared for split in splits),
        "num_dropped_tokens": sum(split.examples.table.num_dropped_tokens for split in splits),
    }
    sizes = [split.text_size for split in splits if split.text_size is not None]
    if len(sizes) == len(splits):
        num_bytes = sum(int(size.num_bytes.sum()) for size in sizes)
        found["tokens_per_byte"] = sum(int(size.num_tokens.sum()) for size in sizes) / max(1, num_bytes)
    rows = [split.packed.rows for split in splits if split.packed is not None]
    if rows:
        num_cells = sum(len(each) * each.capacity for each in rows)
        num_tokens = sum(each.num_tokens for each in rows)
        found |= {"num_rows": sum(map(len, rows)), "padding_fraction": 1 - num_tokens / num_cells}
    return found


def describe_splits(
    splits: Mapping[str, BlockSplit], options: BlockOptions, batch_size: int, eval_batch_size: int
) -> list[str]:
    """Describes the number of blocks of each split, how they were cut, and what that drops, as parts of a line.

    Args:
        splits: by name.
        options: with a block size.
        batch_size: of training.
        eval_batch_size: of evaluation.
    """
    counts = " / ".join(f"{len(split.examples):,} {name}" for name, split in splits.items())
    parts = [f"{counts} blocks of {options.block_size} ({options.block_policy})"]
    texts: list[TokenizedText] = []
    for name, split in splits.items():
        if split.examples.table.num_dropped_tokens and not any(split.text is text for text in texts):
            parts.append(f"{split.examples.table.num_dropped_tokens:,} tokens of {name} dropped")
        texts.append(split.text)
        parts += [] if split.mixture is None else [str(split.mixture)]
    for name, split in list(splits.items())[:1]:
        if split.packed is not None:
            lengths = np.random.default_rng(0).permutation(split.examples.lengths)
            size = batch_size if name == "train" else eval_batch_size
            unpacked = find_padding(lengths[i : i + size] for i in range(0, len(lengths), size))
            parts.append(describe_packing(split.packed.rows, unpacked))
    num_shared = splits["val"].num_shared if "val" in splits else 0
    return parts + ([f"{num_shared:,} val blocks share a document with training"] if num_shared else [])
