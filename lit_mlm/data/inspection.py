"""What a data module makes of its documents, as text for a terminal."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lit_mlm.data.blocks import BlocksDataModule
from lit_mlm.data.documents import TEXT
from lit_mlm.data.masked_blocks import MaskedBlocks
from lit_mlm.data.order import BatchKey
from lit_mlm.errors import InputError
from lit_mlm.text import IGNORE_INDEX
from lit_mlm.text.blocks import IntArray

LEGEND = "{a -> b}: a is to be predicted where b stands; {a}: where it stands itself; | : a document begins"


def describe_examples(
    data: BlocksDataModule, split: str = "train", num_examples: int = 3, num_blocks: int = 2, num_characters: int = 400
) -> Iterator[str]:
    """The first documents of a split, their lengths, the borders of their blocks, and these as they are masked.

    Args:
        data: set up for the stage of the split.
        split: train, val or test.
        num_examples: documents, at least 1.
        num_blocks: blocks of each document to write out.
        num_characters: of the raw text to show.

    Yields:
        The lines. Masks are those of the first epoch, or of the first evaluation.

    Raises:
        InputError: if `num_examples` is below 1.
    """
    if num_examples < 1:
        raise InputError(f"--num_examples must be at least 1, got {num_examples}")
    examples, lengths, documents = data.examples[split], data.get_document_lengths(split), data.read_documents(split)
    ends = np.cumsum(lengths)
    yield f"{split}: {len(documents):,} documents, {int(lengths.sum()):,} tokens; {data.describe()}"
    yield LEGEND
    for number, text in enumerate(documents.select(range(min(num_examples, len(documents))))[TEXT]):
        start, end = int(ends[number] - lengths[number]), int(ends[number])
        sizes = (len(text), len(text.encode("utf-8", "surrogatepass")), len(text.split()), end - start)
        yield ""
        yield "document {}: {:,} characters, {:,} bytes, {:,} words, {:,} tokens".format(number, *sizes)
        yield f"  {text[:num_characters]!r}{'...' if len(text) > num_characters else ''}"
        table = examples.table
        blocks = np.flatnonzero((table.starts < end) & (table.ends > start))
        yield f"  {_format_borders(blocks, table.ends[blocks] - start)}"
        for block in blocks[:num_blocks]:
            yield f"  block {block}: {_format_block(data.tokenizer, examples, int(block), ends - lengths)}"


def _format_borders(blocks: IntArray, ends: IntArray) -> str:
    """The blocks of a document, and the tokens of it before which one ends."""
    if not len(blocks):
        return "in no block"
    borders = ", ".join(map(str, ends[:-1][:12])) + (", ..." if len(ends) > 13 else "")
    return f"in blocks {blocks[0]} to {blocks[-1]}" + (f", with borders before its tokens {borders}" if borders else "")


def _format_block(tokenizer: Any, examples: MaskedBlocks, block: int, document_starts: IntArray) -> str:
    """A block's tokens with their masks; one that is no example has none."""
    places = np.flatnonzero(examples.chosen == block)
    start, end = int(examples.table.starts[block]), int(examples.table.ends[block])
    ids, offset = examples.stream[start:end].tolist(), 0
    labels = [IGNORE_INDEX] * len(ids)
    if len(places):
        batch, offset = examples[BatchKey(0, places)], len(examples.around.prefix)
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    inside = document_starts[(document_starts >= start) & (document_starts < end)]
    begins = set((inside - start + offset).tolist())
    words = [] if len(places) else ["no example of this split:"]
    for place, (shown, label) in enumerate(zip(ids, labels, strict=True)):
        words += ["|"] if place in begins else []
        token = _format_token(tokenizer, shown)
        if label != IGNORE_INDEX:
            original = _format_token(tokenizer, label)
            token = f"{{{original}}}" if label == shown else f"{{{original} -> {token}}}"
        words.append(token)
    return " ".join(words)


def _format_token(tokenizer: Any, token_id: int) -> str:
    """The text of a token, or, of part of a character, its name in the vocabulary."""
    text = str(tokenizer.decode([token_id])).strip()
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token_id))
