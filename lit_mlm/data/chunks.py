"""Chunks of documents of a stream: tokenised and cut into blocks, each chunk by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.documents import TEXT
from lit_mlm.data.stream import BATCH_BYTES, INPUT_IDS, WORD_STARTS, tokenize_batch
from lit_mlm.text.blocks import BlockTable, DropTail, IntArray, cut_blocks
from lit_mlm.text.units import BoolArray
from lit_mlm.text.word_starts import Segmenter


@dataclass(frozen=True)
class Chunk:
    """Some documents as blocks.

    Attributes:
        documents: their texts; of lines, each by itself.
        ids: token ids, shape (num_tokens,).
        document_lengths: tokens of each document, shape (num_documents,).
        table: the blocks.
        word_starts: which tokens begin a word, shape (num_tokens,), where that was asked for.
    """

    documents: list[str]
    ids: npt.NDArray[np.int32]
    document_lengths: IntArray
    table: BlockTable
    word_starts: BoolArray | None = None


@dataclass(frozen=True)
class ChunkCutter:
    """Makes a chunk of the texts of its documents.

    Attributes:
        tokenizer: of the model.
        block_size: tokens in a full block, those that are put around it left out.
        policy: what is cut: all documents of a chunk as one ``stream``, each ``document``, each ``line`` that is not
            empty.
        drop_tail: as of `cut_blocks`.
        truncate: as of `cut_blocks`.
        add_special_tokens: around each document.
        finds_words: keeps which tokens begin a word.
        segmenter: as of `find_word_starts`.
    """

    tokenizer: PreTrainedTokenizerBase
    block_size: int
    policy: str = "stream"
    drop_tail: DropTail = False
    truncate: bool = False
    add_special_tokens: bool = True
    finds_words: bool = False
    segmenter: Segmenter | None = None

    def __call__(self, texts: Sequence[str]) -> Chunk:
        """Tokenises and cuts."""
        documents = list(texts)
        if self.policy == "line":
            documents = [line.rstrip("\r") for text in texts for line in text.split("\n") if line.strip()]
        ids, lengths, starts = self._tokenize(documents)
        group_size = None if self.policy == "stream" else 1
        table = cut_blocks(lengths, self.block_size, group_size, self.drop_tail, self.truncate)
        return Chunk(documents, ids, lengths, table, starts if self.finds_words else None)

    def _tokenize(self, documents: list[str]) -> tuple[npt.NDArray[np.int32], IntArray, BoolArray]:
        """Ids, lengths of the documents and word starts; encodings of so much text at a time as memory is for."""
        ids, lengths, starts = [np.empty(0, np.int32)], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
        for batch in split_texts(documents, BATCH_BYTES):
            options = (self.tokenizer, self.add_special_tokens, self.finds_words, self.segmenter)
            tokens = tokenize_batch({TEXT: batch}, *options)
            column = tokens.column(INPUT_IDS).combine_chunks()
            ids.append(column.flatten().to_numpy())
            lengths.append(column.value_lengths().to_numpy().astype(np.int64))
            if self.finds_words:
                words = tokens.column(WORD_STARTS).combine_chunks()
                starts.append(words.flatten().to_numpy(zero_copy_only=False))
        return np.concatenate(ids), np.concatenate(lengths), np.concatenate(starts)


def split_texts(texts: Sequence[str], num_bytes: int) -> list[list[str]]:
    """Cuts a list of texts into lists of at most so many bytes in UTF-8; a longer text stands alone."""
    parts: list[list[str]] = []
    room = 0
    for text in texts:
        size = len(text.encode("utf-8", errors="surrogatepass"))
        if not parts or size > room:
            parts.append([])
            room = num_bytes
        parts[-1].append(text)
        room -= size
    return parts
