"""What is made of a document, as text for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.documents import TOKENS
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.show.choice import choose_examples
from lit_mlm.data.streams.training import TrainingStream
from lit_mlm.errors import InputError
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking

LEGEND = "{a -> b}: a is to be predicted where b stands; {a}: where it stands itself; | : a document begins"

NUM_BLOCKS = 2
"""Of each document to write out, by default."""

NUM_CHARACTERS = 400
"""Of the raw text to show."""


def describe_documents(
    data: BlocksDataModule, split: str, indices: Sequence[int] | None, num_examples: int | None, num_blocks: int | None
) -> Iterator[str]:
    """Documents, their lengths, the boundaries of their blocks, and these as the first epoch or evaluation masks them.

    Args and yields are those of `lit_mlm.data.show.examples.describe_examples`.
    """
    if num_blocks is not None and num_blocks < 0:
        raise InputError(f"--num_blocks must be at least 0, got {num_blocks}")
    title, documents, lengths, examples = _find_shown(data, split)
    chosen = choose_examples(split, "documents", len(documents), indices, num_examples)
    yield f"{title}: {len(documents):,} documents, {int(lengths.sum()):,} tokens; {data.describe()}"
    yield LEGEND
    num = NUM_BLOCKS if num_blocks is None else num_blocks
    for number, text in zip(chosen, documents.select(chosen)[TEXT], strict=True):
        yield ""
        yield from describe_document(data.tokenizer, examples, lengths, number, text, num, data.compared)


def _find_shown(data: BlocksDataModule, split: str) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
    """The title of a split, its documents, the tokens of each, and its examples; of a stream the first chunk's."""
    if split == "train" and isinstance(data.stream, TrainingStream):
        return data.stream.find_shown()
    found = data.splits[split]
    return split, data.read_documents(split), found.text.tokens.document_lengths, found.examples


def compare_maskings(data: BlocksDataModule) -> None:
    """Has each block shown as each kind of strategy masks it; before the data is set up."""
    strategies = {type(strategy): strategy for strategy in (TokenMasking(), WordMasking(), SpanMasking())}
    data.compared = list((strategies | {type(data.masks.strategy): data.masks.strategy}).values())
    data.finds_words = True


def describe_cache(data: BlocksDataModule) -> Iterator[str]:
    """What tokenising made of each text that was set up, and where the tokens are."""
    if data.stream is not None and data.stream.has_begun:
        yield f"train: {data.stream.describe()}, tokenised in the run"
    for source, text in data.texts.items():
        yield f"{source}: {text.describe()}"
    yield f"cache: {data.cache_dir / TOKENS}"


def describe_document(
    tokenizer: Any,
    examples: MaskedBlocks,
    lengths: IntArray,
    number: int,
    text: str,
    num_blocks: int,
    compared: Sequence[MaskingStrategy] = (),
) -> Iterator[str]:
    """The lengths of a document, the boundaries of its blocks, and these as they are masked.

    Args:
        tokenizer: that the tokens are of.
        examples: of the document's split.
        lengths: tokens of each document of the split, shape (num_documents,).
        number: of the document in its split, from 0.
        text: of the document.
        num_blocks: blocks to write out, at least 0.
        compared: strategies to mask a block by, one below the other; by default that of `examples`.

    Yields:
        The lines. Masks are those of the first epoch, at the rate that it begins with, or of the first evaluation.
    """
    ends = np.cumsum(lengths)
    start, end = int(ends[number] - lengths[number]), int(ends[number])
    sizes = (len(text), len(text.encode("utf-8", "surrogatepass")), len(text.split()), end - start)
    yield "document {}: {:,} characters, {:,} bytes, {:,} words, {:,} tokens".format(number, *sizes)
    yield f"  {text[:NUM_CHARACTERS]!r}{'...' if len(text) > NUM_CHARACTERS else ''}"
    table = examples.table
    blocks = np.flatnonzero((table.starts < end) & (table.ends > start))
    yield f"  {_format_boundaries(blocks, table.ends[blocks] - start)}"
    vocabulary = tokenizer.get_vocab() if compared else {}
    for block in blocks[:num_blocks]:
        if not compared:
            yield f"  block {block}: {_format_block(tokenizer, examples, int(block), ends - lengths)}"
        for strategy in compared:
            masked = replace(examples, masking=replace(examples.masking, strategy=strategy.with_vocabulary(vocabulary)))
            yield f"  block {block}, {strategy}: {_format_block(tokenizer, masked, int(block), ends - lengths)}"


def _format_boundaries(blocks: IntArray, ends: IntArray) -> str:
    """The blocks of a document, and the tokens of it before which one ends."""
    if not len(blocks):
        return "in no block"
    listed = ", ".join(map(str, ends[:-1][:12])) + (", ..." if len(ends) > 13 else "")
    return f"in blocks {blocks[0]} to {blocks[-1]}" + (
        f", with boundaries before its tokens {listed}" if listed else ""
    )


def _format_block(tokenizer: Any, examples: MaskedBlocks, block: int, document_starts: IntArray) -> str:
    """A block's tokens with their masks; one that is no example has none."""
    places = np.flatnonzero(examples.chosen == block)
    start, end = int(examples.table.starts[block]), int(examples.table.ends[block])
    ids, offset = examples.stream[start:end].tolist(), 0
    labels = [IGNORE_INDEX] * len(ids)
    if len(places):
        batch, offset = examples[BatchKey(0, places)], len(examples.special_tokens.prefix)
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
