"""Options are checked wherever they are set."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lit_mlm.data.batches import LengthOptions
from lit_mlm.data.masked.blocks import BlockOptions
from lit_mlm.data.masked.masks import MaskOptions
from lit_mlm.data.masked.samples import SampleOptions
from lit_mlm.data.tagged.layouts import ColumnOptions
from lit_mlm.data.tagged.module import TagOptions
from lit_mlm.data.tagged.windows import WindowOptions
from lit_mlm.data.tokens.new_words import NewWordOptions
from lit_mlm.errors import InputError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlockOptions(block_size=0), "data.block_size must be at least 1, got 0"),
        (lambda: BlockOptions(block_policy="stream"), "data.block_policy must be one of concatenate, document, line"),  # type: ignore[arg-type]
        (lambda: replace(MaskOptions(), num_mask_draws=0), "data.num_mask_draws must be at least 1, got 0"),
        (lambda: MaskOptions(mask_prob=float("nan")), "data.mask_prob must be above 0 and at most 1, got nan"),
        (lambda: SampleOptions(num_val_blocks=0), "data.num_val_blocks must be at least 1, got 0"),
        (lambda: WindowOptions(window=0), "data.window must be at least 1, got 0"),
        (lambda: LengthOptions(max_tokens_per_batch=-1), "data.max_tokens_per_batch must be at least 1, got -1"),
        (lambda: TagOptions(label_later_pieces="all"), "data.label_later_pieces must be one of inside, ignore"),  # type: ignore[arg-type]
        (lambda: TagOptions(labels="O"), "data.labels must be a list, got the text 'O'; put it in a list"),  # type: ignore[arg-type]
        (lambda: ColumnOptions(word_column=0), "data.word_column must be at least 1, got 0"),
        (lambda: NewWordOptions(num_new_words=3, min_pieces=1), "data.min_pieces must be at least 2, got 1"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
