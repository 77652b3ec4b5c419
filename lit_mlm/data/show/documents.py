"""Shows documents, their blocks and masks in a terminal."""

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

LEGEND = "{a -> b}: predict a, the model sees b; {a}: predict a, the model sees a; | : a document begins"

NUM_BLOCKS = 2  # to show of a document, by default
NUM_CHARACTERS = 400  # to show of the raw text


def describe_documents(
    data: BlocksDataModule, split: str, indices: Sequence[int] | None, num_examples: int | None, num_blocks: int | None
) -> Iterator[str]:
    """Yields documents, their lengths, block boundaries, and blocks with the masks of the first epoch or evaluation.

    Arguments are those of `lit_mlm.data.show.examples.describe_examples`.
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
    """The title, documents, token counts and examples of a split; of a stream those of the first chunk."""
    if split == "train" and isinstance(data.stream, TrainingStream):
        return data.stream.find_shown()
    found = data.splits[split]
    return split, data.read_documents(split), found.text.tokens.document_lengths, found.examples


def compare_maskings(data: BlocksDataModule) -> None:
    """Shows each block under every masking strategy; call before the data is set up."""
    strategies = {type(strategy): strategy for strategy in (TokenMasking(), WordMasking(), SpanMasking())}
    data.compared = list((strategies | {type(data.masks.strategy): data.masks.strategy}).values())
    data.finds_words = True


def describe_cache(data: BlocksDataModule) -> Iterator[str]:
    """Yields the result of tokenising each text, and the folder of the tokens."""
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

    Masks are those of the first epoch, at its initial rate, or of the first evaluation.

    Args:
        tokenizer: of the tokens.
        examples: of the document's split.
        lengths: tokens of each document of the split, shape (num_documents,).
        number: index of the document in its split.
        text: of the document.
        num_blocks: blocks to show, at least 0.
        compared: strategies to show for each block; by default that of `examples`.
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
    """The blocks of a document, and the tokens of it at which blocks end."""
    if not len(blocks):
        return "in no block"
    listed = ", ".join(map(str, ends[:-1][:12])) + (", ..." if len(ends) > 13 else "")
    return f"in blocks {blocks[0]} to {blocks[-1]}" + (
        f", with boundaries before its tokens {listed}" if listed else ""
    )


def _format_block(tokenizer: Any, examples: MaskedBlocks, block: int, document_starts: IntArray) -> str:
    """A block's tokens, with their masks if it is an example."""
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
    """The text of a token, or its name in the vocabulary if it is part of a character."""
    text = str(tokenizer.decode([token_id])).strip()
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token_id))
