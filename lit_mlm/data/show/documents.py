"""Formats documents, their blocks and masks for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.show.choice import choose_examples
from lit_mlm.data.streams.training import TrainingStream
from lit_mlm.data.tokens.cached import TOKENS
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking

LEGEND = "{a -> b}: predict a, the model sees b; {a}: predict a, the model sees a; |: start of a document"

NUM_BLOCKS = 2  # shown per document by default
NUM_CHARACTERS = 400  # shown of the raw text


def describe_documents(
    data: BlocksDataModule, split: str, indices: Sequence[int] | None, num_examples: int | None, num_blocks: int | None
) -> Iterator[str]:
    """Yields documents, their lengths, block boundaries, and blocks with the masks of the first epoch or evaluation.

    Arguments are those of `lit_mlm.data.show.examples.describe_examples`.
    """
    if num_blocks is not None and num_blocks < 0:
        raise InputError(f"--num_blocks must be at least 0, got {num_blocks}")
    title, documents, lengths, examples = _get_split(data, split)
    order = order_documents(examples, lengths)
    chosen = choose_examples(split, "documents", len(documents), indices, num_examples, order)
    yield f"{title}: {len(documents):,} documents, {int(lengths.sum()):,} tokens; {data.describe()}"
    yield LEGEND
    num = NUM_BLOCKS if num_blocks is None else num_blocks
    for number, text in zip(chosen, documents.select(chosen)[TEXT], strict=True):
        yield ""
        yield from describe_document(data.tokenizer, examples, lengths, number, text, num, data.compared)


def _get_split(data: BlocksDataModule, split: str) -> tuple[str, Dataset, IntArray, MaskedBlocks]:
    """Returns title, documents, token counts and examples of a split, or of the first chunk of a stream."""
    if split == "train" and isinstance(data.stream, TrainingStream):
        return data.stream.find_shown()
    found = data.splits[split]
    return split, data.read_documents(split), found.text.tokens.document_lengths, found.examples


def order_documents(examples: MaskedBlocks, lengths: IntArray) -> list[int]:
    """The documents in which examples begin, then the others.

    Args:
        examples: of the split.
        lengths: number of tokens of each document of the split, shape (num_documents,).
    """
    numbers = np.arange(len(lengths))
    if len(examples) < len(examples.table):
        found = np.searchsorted(np.cumsum(lengths), examples.table.starts[examples.chosen], side="right")
        numbers = numbers[np.argsort(~np.isin(numbers, found), kind="stable")]
    return numbers.tolist()


def compare_maskings(data: BlocksDataModule) -> None:
    """Adds every masking strategy to the comparison of each block; call before the data is set up."""
    strategies = {type(strategy): strategy for strategy in (TokenMasking(), WordMasking(), SpanMasking())}
    data.compared = list((strategies | {type(data.masks.strategy): data.masks.strategy}).values())
    data.finds_words = True


def describe_cache(data: BlocksDataModule) -> Iterator[str]:
    """Yields how each split was tokenised, and the folder of the token cache."""
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
    """Yields the lengths of a document, its block boundaries, and its blocks with masks.

    Training masks are those of the first epoch at its initial rate, evaluation masks those of the first draw.

    Args:
        tokenizer: decodes the tokens.
        examples: examples of the split.
        lengths: number of tokens of each document of the split, shape (num_documents,).
        number: index of the document in the split.
        text: text of the document.
        num_blocks: maximum number of blocks to show, at least 0; those that are examples go first.
        compared: masking strategies to show for each block; by default that of `examples`.
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
    is_sampled = np.isin(blocks, examples.chosen)
    shown = np.concatenate([blocks[is_sampled], blocks[~is_sampled]])[:num_blocks]
    for block in sorted(shown.tolist()):
        if not compared:
            yield f"  block {block}: {_format_block(tokenizer, examples, block, ends - lengths)}"
        for strategy in compared:
            masked = replace(examples, masking=replace(examples.masking, strategy=strategy.with_vocabulary(vocabulary)))
            yield f"  block {block}, {strategy}: {_format_block(tokenizer, masked, block, ends - lengths)}"


def _format_boundaries(blocks: IntArray, ends: IntArray) -> str:
    """Formats the blocks of a document and the tokens at which they end."""
    if not len(blocks):
        return "in no block"
    listed = ", ".join(map(str, ends[:-1][:12])) + (", ..." if len(ends) > 13 else "")
    return f"in blocks {blocks[0]} to {blocks[-1]}" + (f", with boundaries before tokens {listed}" if listed else "")


def _format_block(tokenizer: Any, examples: MaskedBlocks, block: int, document_starts: IntArray) -> str:
    """Formats the tokens of a block, with their masks if the block is an example of the split."""
    indices = np.flatnonzero(examples.chosen == block)
    start, end = int(examples.table.starts[block]), int(examples.table.ends[block])
    ids, offset = examples.stream[start:end].tolist(), 0
    labels = [IGNORE_INDEX] * len(ids)
    if len(indices):
        batch, offset = examples[BatchKey(0, indices)], len(examples.special_tokens.prefix)
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    inside = document_starts[(document_starts >= start) & (document_starts < end)]
    starts = set((inside - start + offset).tolist())
    words = [] if len(indices) else ["not an example of this split:"]
    for position, (token_id, label) in enumerate(zip(ids, labels, strict=True)):
        words += ["|"] if position in starts else []
        token = _format_token(tokenizer, token_id)
        if label != IGNORE_INDEX:
            original = _format_token(tokenizer, label)
            token = f"{{{original}}}" if label == token_id else f"{{{original} -> {token}}}"
        words.append(token)
    return " ".join(words)


def _format_token(tokenizer: Any, token_id: int) -> str:
    """Returns the text of a token, or its name in the vocabulary if it is an incomplete character."""
    text = str(tokenizer.decode([token_id])).strip()
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token_id))
