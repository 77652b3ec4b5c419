"""The base of data modules for masked language modelling: documents in, masked blocks out."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from datasets import Dataset

from lit_mlm.data.base import choose_examples, require_at_least
from lit_mlm.data.document_inspection import LEGEND, describe_document
from lit_mlm.data.documents import TEXT, split_lines
from lit_mlm.data.masked import MaskedDataModule
from lit_mlm.data.masked_blocks import MaskedBlocks
from lit_mlm.data.samples import sample_apart, sample_blocks
from lit_mlm.errors import InputError
from lit_mlm.pretrained import hash_tokenizer
from lit_mlm.text.blocks import BlockTable, DropTail, IntArray, cut_blocks, find_shared_documents
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id, find_special_tokens

BlockPolicy = Literal["stream", "document", "line"]

SHAPING_OPTIONS = (
    *("block_policy", "map_batch_size", "drop_tail", "truncate", "special_tokens"),
    *("num_train_blocks", "num_val_blocks", "num_test_blocks", "val_source"),
    "split_seed",
)
"""The options, beside texts, tokenizer, block size and those of masks, that decide what the examples are."""


class BlocksDataModule(MaskedDataModule):
    """Cuts documents into blocks and masks these.

    A new data set is a subclass with one method, `load_documents`.

    Args:
        block_size: tokens in a block, special tokens included; by default the longest that the model takes.
        block_policy: ``stream`` joins all documents and cuts the whole; ``document`` cuts each by itself; ``line``
            each line of each document, empty ones left out.
        map_batch_size: has ``stream`` cut each this many documents by themselves, as recipes do that cut within
            `Dataset.map`, in batches of 1,000.
        drop_tail: leaves out blocks that are not full; ``unless_alone`` keeps one that is the only one of what is cut
            by itself.
        truncate: keeps only the first block of each document or line.
        num_train_blocks: trains on a random sample of this many blocks.
        num_val_blocks: validates on a random sample of this many blocks.
        num_test_blocks: tests on a random sample of this many blocks.
        val_source: what validation blocks are of: ``documents`` of their own, or ``train_blocks``, the blocks of the
            training text that are not trained on, as in the Hugging Face course: parts of the same documents then
            stand on both sides.
    """

    def __init__(
        self,
        block_size: int | None = None,
        block_policy: BlockPolicy = "stream",
        map_batch_size: int | None = None,
        drop_tail: DropTail = False,
        truncate: bool = False,
        num_train_blocks: int | None = None,
        num_val_blocks: int | None = None,
        num_test_blocks: int | None = None,
        val_source: Literal["documents", "train_blocks"] = "documents",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, block_size=block_size, map_batch_size=map_batch_size)
        if map_batch_size is not None and block_policy != "stream":
            raise InputError(f"data.map_batch_size {map_batch_size} has no effect on data.block_policy {block_policy}")
        if truncate and block_policy == "stream":
            raise InputError("data.truncate needs data.block_policy document or line: a stream is not to be truncated")
        if val_source == "train_blocks" and block_policy == "line":
            raise InputError("data.val_source train_blocks needs data.block_policy stream or document, not line")
        if val_source == "train_blocks" and num_val_blocks is None:
            raise InputError("data.val_source train_blocks needs data.num_val_blocks: how many not to train on")
        self.save_hyperparameters(logger=False)
        self._mask_fingerprints: dict[tuple[str, range], str] = {}

    def _load_tokenizer(self, iterate_train_texts: Callable[[], Iterator[str]], text_hash: str) -> None:
        """Checks the tokenizer and the block size before hours of text are tokenised for them."""
        super()._load_tokenizer(iterate_train_texts, text_hash)
        if self.tokenizer.mask_token_id is None:
            raise InputError(
                f"the tokenizer {self.tokenizer.name_or_path} has no mask token, which masks are made of; take the "
                "tokenizer of a masked language model, or have one trained with data.vocab_size"
            )
        self._find_room()

    def _make_splits(self, stage: str) -> None:
        splits = self._find_splits(stage)
        tables = {source: self._cut(source) for source in map(self._get_source, splits)}
        self.examples |= {split: self._make_examples(split, tables[self._get_source(split)]) for split in splits}

    @property
    def sequence_length(self) -> int:
        """The length of the longest sequence in any batch, in tokens."""
        return max(examples.sequence_length for examples in self.examples.values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the texts, the tokenizer and every option that shapes the examples, of all splits in use."""
        return self._fingerprint(sorted(self.examples))

    def _fingerprint(self, splits: Collection[str]) -> str:
        options = {name: self.hparams[name] for name in SHAPING_OPTIONS} | {"block_size": self._block_size}
        options |= self._list_masking_options()
        hashes = {split: self._text_hashes[self._get_source(split)] for split in splits}
        parts = [hashes, hash_tokenizer(self.tokenizer), options]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """The number of blocks of each split, how they were cut, and what a recipe's policies cost."""
        counts = " / ".join(f"{len(examples):,} {split}" for split, examples in self.examples.items())
        parts = [f"{counts} blocks of {self._block_size} ({self.hparams['block_policy']})"]
        for split, examples in self.examples.items():
            if examples.table.num_dropped_tokens and self._get_source(split) == split:
                parts.append(f"{examples.table.num_dropped_tokens:,} tokens of {split} dropped")
        parts += self._describe_small(len(self.examples["train"])) if "train" in self.examples else []
        num_shared = self._count_shared("val") if "val" in self.examples else 0
        if num_shared:
            parts.append(f"{num_shared:,} val blocks share a document with training")
        if self.masking.needs_words:
            parts.append(f"masked by {type(self.masking).__name__}")
        if self.schedule is not None:
            parts.append(f"mask_prob in training {self.schedule}")
        if self.vocabulary.get("facts"):
            parts.append(self.describe_vocabulary())
        return ", ".join(parts)

    def describe_examples(
        self,
        split: str,
        indices: Sequence[int] | None = None,
        num_examples: int | None = None,
        num_blocks: int | None = None,
    ) -> Iterator[str]:
        """Documents, their lengths, the borders of their blocks, and these as the first epoch or evaluation masks them.

        Raises:
            InputError: if there are no such documents, or `num_blocks` is negative.
        """
        if num_blocks is not None and num_blocks < 0:
            raise InputError(f"--num_blocks must be at least 0, got {num_blocks}")
        title, documents, lengths, examples = self._find_shown(split)
        chosen = choose_examples(split, "documents", len(documents), indices, num_examples)
        yield f"{title}: {len(documents):,} documents, {int(lengths.sum()):,} tokens; {self.describe()}"
        yield LEGEND
        for number, text in zip(chosen, documents.select(chosen)[TEXT], strict=True):
            yield ""
            place = (examples, lengths, number)
            num = 2 if num_blocks is None else num_blocks
            yield from describe_document(self.tokenizer, *place, text, num, self.compared)

    def _find_shown(self, split: str) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
        """What `describe_examples` is to describe: its title, documents, the tokens of each, and the examples."""
        return split, self.read_documents(split), self.get_document_lengths(split), self.examples[split]

    def facts(self, split: str) -> dict[str, float | int | str]:
        """Adds the masks and the blocks of a split."""
        examples, draws = self.examples[split], self._get_draws()
        if (split, draws) not in self._mask_fingerprints:
            self._mask_fingerprints[split, draws] = examples.fingerprint_masks(draws)
        return super().facts(split) | {
            "data_fingerprint": self._fingerprint([split]),
            "mask_fingerprint": self._mask_fingerprints[split, draws],
            "masking": str(self.masking),
            "num_blocks": len(examples),
            "num_blocks_shared_with_train": self._count_shared(split),
            "num_dropped_tokens": examples.table.num_dropped_tokens,
            "block_size": self._block_size,
            "block_policy": self.hparams["block_policy"],
        }

    def _read_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        documents = super()._read_documents(splits)
        if self.hparams["block_policy"] == "line":
            documents = {split: split_lines(texts) for split, texts in documents.items()}
        return documents

    def _cut(self, split: str) -> BlockTable:
        options, stream, size = self.hparams, self._streams[split], self._find_room()
        group_size = options["map_batch_size"] if options["block_policy"] == "stream" else 1
        table = cut_blocks(stream.document_lengths, size, group_size, options["drop_tail"], options["truncate"])
        if len(table) == 0:
            raise InputError(
                f"the {split} split has no blocks: {len(stream.document_lengths)} documents, {len(stream.ids)} tokens, "
                f"data.block_size {self._block_size}, data.drop_tail {options['drop_tail']}; give more text or a "
                "smaller block size"
            )
        return table

    def _find_room(self) -> int:
        """Tokens of text in a block."""
        size = self._block_size - len(self._around)
        if size < 1:
            raise InputError(
                f"data.block_size {self._block_size} leaves no room beside {len(self._around)} special tokens"
            )
        return size

    def _make_examples(self, split: str, table: BlockTable) -> MaskedBlocks:
        stream = self._streams[self._get_source(split)]
        return MaskedBlocks(
            stream=stream.ids,
            table=table,
            chosen=self._choose_blocks(split, len(table)),
            around=self._around,
            masking=self._make_masking(),
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")) if split == "train" else self.hparams["eval_seed"],
            pad_id=find_pad_id(self.tokenizer),
            word_starts=stream.word_starts,
            schedule=self.schedule if split == "train" else None,
        )

    def _choose_blocks(self, split: str, num_blocks: int) -> IntArray:
        wanted, seed = self.hparams[f"num_{split}_blocks"], self.hparams["split_seed"]
        if self.hparams["val_source"] == "documents" or split == "test":
            return sample_blocks(num_blocks, split, wanted, seed)
        return sample_apart(num_blocks, split, self.hparams["num_train_blocks"], self.hparams["num_val_blocks"], seed)

    def _count_shared(self, split: str) -> int:
        """How many examples of a split share a document with training: none, unless they are blocks of its text."""
        if split != "val" or self.hparams["val_source"] == "documents":
            return 0
        table, lengths = self.examples["val"].table, self._streams["train"].document_lengths
        trained_on = self._choose_blocks("train", len(table))
        return len(find_shared_documents(lengths, table, self.examples["val"].chosen, trained_on))

    def _get_source(self, split: str) -> str:
        return "train" if split == "val" and self.hparams["val_source"] == "train_blocks" else split

    @property
    def _around(self) -> SpecialTokens:
        around = find_special_tokens(self.tokenizer)
        return around if self.hparams["special_tokens"] == "block" else SpecialTokens([], [])

    @property
    def _block_size(self) -> int:
        limit = self._model.max_length if self._model else None
        typed: int | None = self.hparams["block_size"]
        if typed is None and limit is None:
            raise InputError("data.block_size must be given: the model sets no limit of its own")
        if typed is not None and limit is not None and typed > limit:
            raise InputError(f"data.block_size is {typed}, but the model takes at most {limit} tokens")
        return limit if typed is None else typed  # type: ignore[return-value]
