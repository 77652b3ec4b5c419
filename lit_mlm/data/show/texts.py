"""Formats labelled texts and their rows for a terminal."""

from collections.abc import Iterator, Sequence

import numpy as np

from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.show.choice import choose_examples
from lit_mlm.errors import InputError

NUM_TOKENS = 40  # shown of each row


def describe_texts(
    data: LabelledDataModule,
    split: str,
    indices: Sequence[int] | None,
    num_examples: int | None,
    num_blocks: int | None,
) -> Iterator[str]:
    """Yields texts with their labels, and the tokens of their rows.

    Arguments are those of `lit_mlm.data.show.examples.describe_examples`.
    """
    if num_blocks is not None:
        raise InputError(f"--num_blocks {num_blocks} has no effect on labelled texts, which are not cut into blocks")
    texts, examples = data.texts[split], data.examples[split]
    chosen = choose_examples(split, "texts", len(texts), indices, num_examples)
    yield f"{split}: {data.describe()}"
    for number in chosen:
        text, rows = texts[number], examples.make_batch(np.array([number]))
        labels = "no label" if text.labels is None else ", ".join(text.labels) or "none of the labels"
        windows = f", {len(rows['row_texts'])} windows" if len(rows["row_texts"]) > 1 else ""
        yield ""
        yield f"text {number} ({text.place}): {labels}{windows}"
        for ids, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True):
            tokens = data.tokenizer.convert_ids_to_tokens(ids[mask == 1].tolist())
            if len(tokens) > NUM_TOKENS:
                half, left_out = NUM_TOKENS // 2, len(tokens) - NUM_TOKENS
                tokens = [*tokens[:half], f"... {left_out:,} more ...", *tokens[-half:]]
            yield f"  {' '.join(tokens)}"
