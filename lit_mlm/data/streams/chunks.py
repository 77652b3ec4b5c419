"""Chunks of documents of a stream, each tokenised and cut into blocks separately."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.masked.blocks import BlockCutter
from lit_mlm.data.reading.documents import TEXT, find_lines, measure_texts
from lit_mlm.data.reading.flat_arrays import Arrays
from lit_mlm.data.tokens.encoding import INPUT_IDS, LENGTHS, WORD_STARTS
from lit_mlm.data.tokens.tokenize import find_boundaries, flatten_tokens, tokenize_batch
from lit_mlm.text.arrays import BoolArray, IntArray
from lit_mlm.text.blocks import BlockTable
from lit_mlm.text.masking.word_starts import Segmenter

NOTHING: Arrays = {INPUT_IDS: np.empty(0, np.int32), LENGTHS: np.empty(0, np.int64), WORD_STARTS: np.empty(0, np.bool_)}
"""The tokens of no document, in the types of a chunk."""


@dataclass(frozen=True)
class Chunk:
    """Documents as blocks.

    Attributes:
        documents: texts, or their lines if each is cut separately.
        ids: token ids, shape (num_tokens,).
        document_lengths: tokens of each document, shape (num_documents,).
        table: blocks.
        word_starts: whether each token begins a word, shape (num_tokens,), if recorded.
    """

    documents: list[str]
    ids: npt.NDArray[np.int32]
    document_lengths: IntArray
    table: BlockTable
    word_starts: BoolArray | None = None


@dataclass(frozen=True)
class ChunkCutter:
    """Makes a chunk of texts.

    Attributes:
        tokenizer: of the model.
        cutter: cuts documents into blocks.
        finds_words: records which tokens begin a word.
        segmenter: as in `find_word_starts`.
    """

    tokenizer: PreTrainedTokenizerBase
    cutter: BlockCutter
    finds_words: bool = False
    segmenter: Segmenter | None = None

    def __call__(self, texts: Sequence[str]) -> Chunk:
        """Tokenises and cuts."""
        documents = list(texts)
        if self.cutter.options.block_policy == "line":
            documents = [line for text in texts for _, line in find_lines(text)]
        tokens = self._tokenize(documents)
        table = self.cutter.cut(tokens[LENGTHS], [len(documents)])
        words = tokens[WORD_STARTS] if self.finds_words else None
        return Chunk(documents, tokens[INPUT_IDS], tokens[LENGTHS], table, words)

    def _tokenize(self, documents: list[str]) -> Arrays:
        """Token ids, document lengths and word starts, encoded in batches to bound memory."""
        options = (self.tokenizer, self.cutter.per_document, self.finds_words, self.segmenter)
        batches = pairwise(find_boundaries(measure_texts(documents)))
        parts = [flatten_tokens(tokenize_batch({TEXT: documents[start:end]}, *options)) for start, end in batches]
        return {name: np.concatenate([none, *(p[name] for p in parts if name in p)]) for name, none in NOTHING.items()}
