"""The base of data modules whose examples are windows of sentences: how long they are, and which make a batch."""

import os
import sys
from abc import ABC
from typing import Any

from lit_mlm.data.base import TextDataModule, require_at_least
from lit_mlm.data.batches import LengthOrder
from lit_mlm.data.packed import PackedExamples, find_pack_length
from lit_mlm.data.tagged.dataset import TaggedWindows
from lit_mlm.errors import InputError
from lit_mlm.text.special_tokens import find_special_tokens


class WindowsDataModule(TextDataModule, ABC):
    """Knows the size of windows, and makes batches of those of about the same length.

    Args:
        window: tokens in a window, special tokens included; by default the most that the model takes.
        stride: pieces that neighbouring windows of a long sentence share; a quarter of a window by default.
        context_tokens: shows this many pieces of the sentences around each one, of the same document, as far as the
            window allows; none of them is scored.
        group_by_length: has training batches hold sentences of about the same length; by default only with
            `max_tokens_per_batch`: it saves padding, but can cost quality. Evaluation, which it can't change, does so.
        max_tokens_per_batch: tokens in a batch, padding included, in place of `batch_size` and `eval_batch_size`.
        pack_length: packs the windows of training into rows of this many tokens, in which each attends to itself alone,
            in place of batches by length; `batch_size` counts rows. In evaluation a sentence's windows stay together.
        kwargs: the options of `TextDataModule`.
    """

    def __init__(
        self,
        window: int | None = None,
        stride: int | None = None,
        context_tokens: int = 0,
        group_by_length: bool | None = None,
        max_tokens_per_batch: int | None = None,
        pack_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_at_least(1, window=window, max_tokens_per_batch=max_tokens_per_batch, pack_length=pack_length)
        require_at_least(0, stride=stride, context_tokens=context_tokens)
        if max_tokens_per_batch is not None and self.hparams["eval_batch_size"] is not None:
            raise InputError("data.eval_batch_size and data.max_tokens_per_batch exclude each other: both size a batch")
        if pack_length is not None and max_tokens_per_batch is not None:
            raise InputError("data.pack_length and data.max_tokens_per_batch exclude each other: give data.batch_size")
        if pack_length is not None and group_by_length:
            raise InputError("data.group_by_length true has no effect with data.pack_length: rows come by chance")
        self.save_hyperparameters(logger=False)
        self.examples: dict[str, TaggedWindows] = {}
        self.packed: PackedExamples | None = None
        self.groups_by_length = max_tokens_per_batch is not None if group_by_length is None else group_by_length

    @property
    def order_options(self) -> dict[str, Any]:
        """The options that choose which windows make a batch, which no run that goes on may change."""
        options = {name: self.hparams[name] for name in ("max_tokens_per_batch", "pack_length", "batch_size")}
        if options["max_tokens_per_batch"] or self.pack_length:
            del options["batch_size"]
        return options if self.pack_length else options | {"group_by_length": self.groups_by_length}

    @property
    def pack_length(self) -> int | None:
        """Tokens of the rows that the windows of training are packed into; None if they aren't."""
        return find_pack_length(self.hparams, self._model)

    @property
    def window(self) -> int | None:
        """Tokens in a window at most, special tokens included; None if there is no limit, and sentences stay whole."""
        limit = self._model.max_length if self._model else None
        typed: int | None = self.hparams["window"]
        if typed is not None and limit is not None and typed > limit:
            raise InputError(f"data.window is {typed}, but the model takes at most {limit} tokens")
        return limit if typed is None else typed

    @property
    def stride(self) -> int:
        """Pieces that neighbouring windows of a sentence share at most."""
        size, typed = self._size, self.hparams["stride"]
        if typed is not None and typed >= size:
            raise InputError(f"data.stride {typed} must be less than the {size} pieces of a window")
        return size // 4 if typed is None else int(typed)

    @property
    def truncation(self) -> int | None:
        """Pieces of a sentence that cutting it at the model's limit would leave; None if there is no limit."""
        limit = (self._model.max_length if self._model else None) or self.window
        return None if limit is None else limit - len(find_special_tokens(self.tokenizer))

    def _make_order(self, split: str, is_training: bool = False) -> LengthOrder:
        examples, options = self.examples[split], self.hparams
        budget, longest = options["max_tokens_per_batch"], int(self.examples[split].lengths.max())
        if budget is not None and budget < longest:
            raise InputError(
                f"data.max_tokens_per_batch {budget} is less than the longest sequence of the {split} split, {longest} "
                "tokens; raise it or lower data.window"
            )
        return LengthOrder(
            examples.lengths,
            self._get_batch_size(is_training),
            *self._find_rank(),
            seed=int(os.environ.get("PL_GLOBAL_SEED", "0")) if is_training else None,
            groups=None if is_training else examples.table.sentences,
            max_tokens=budget,
            by_length=self.groups_by_length or not is_training,
            get_start=self._count_seen_batches if is_training else int,
        )

    @property
    def _size(self) -> int:
        """Pieces in a window, without special tokens."""
        num_special = len(find_special_tokens(self.tokenizer))
        size = sys.maxsize if self.window is None else self.window - num_special
        if size < 1:
            raise InputError(f"data.window {self.window} leaves no room beside {num_special} special tokens")
        return size
