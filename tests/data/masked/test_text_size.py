"""The bytes of the text in blocks, against a count by hand."""

import math
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import CanineTokenizer, PreTrainedTokenizerFast

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.data.masked.documents import TokenizedText
from lit_mlm.data.masked.text_size import TextSize, measure_blocks, measure_tokens
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.tokens import encoding
from lit_mlm.data.tokens.encoding import Encoder
from lit_mlm.data.tokens.tokenize import tokenize_documents
from lit_mlm.text.arrays import IntArray
from lit_mlm.text.blocks import BlockTable, cut_blocks
from tests.conftest import FIXTURES, read_reviews
from tests.families import FAMILIES

TEXTS = ["A fine  film, \u00e9t\u00e9.  ", "  \n", "漢字 and \U0001f600 kana", "", *read_reviews()[:4], "the end\n"]


def make_text(tokenizer: Any, texts: list[str], per_document: bool, folder: Path) -> TokenizedText:
    documents = Dataset.from_dict({TEXT: texts})
    tokens = tokenize_documents(documents, tokenizer, per_document, folder, None, "")
    return TokenizedText("", [len(texts)], tokens, documents, Encoder(tokenizer, per_document, gives_offsets=True))


def count_by_hand(tokenizer: Any, texts: list[str], per_document: bool, blocks: list[tuple[int, int]]) -> TextSize:
    """A token has the text since the token before it; a text without tokens goes with the last token before it."""
    shares: list[list[tuple[int, int, int]]] = []  # of each token: document, whether it is of text, and bytes
    for document, text in enumerate(texts):
        encoded = tokenizer(text, add_special_tokens=per_document, return_offsets_mapping=True)
        bare = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        special = encoded.encodings[0].special_tokens_mask if per_document else [0] * bare
        end, of_text = 0, []
        for (_, stop), is_special in zip(encoded["offset_mapping"], special, strict=True):
            stop = end if is_special else max(end, stop)
            of_text.append([(document, 1 - is_special, len(text[end:stop].encode()))])
            end = stop
        rest = document, 0, len(text[end:].encode())
        if 0 in special:
            of_text[len(special) - 1 - special[::-1].index(0)].append(rest)
        elif of_text or shares:
            (of_text[0] if of_text else shares[-1]).append(rest)
        shares += of_text
    table = np.zeros((len(texts), 2), dtype=np.int64)
    for start, end in blocks:
        for document, *size in chain(*shares[start:end]):
            table[document] += size
    return TextSize(table[:, 0], table[:, 1])


def list_sizes(size: TextSize | None) -> list[list[int]]:
    """Tokens and bytes of each document."""
    assert size is not None
    return [size.num_tokens.tolist(), size.num_bytes.tolist()]


@pytest.mark.parametrize("per_document", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_a_count_by_hand(
    family: str, per_document: bool, families: dict[str, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    text, rng = make_text(families[family], TEXTS, per_document, tmp_path), np.random.default_rng(0)
    lengths = text.tokens.document_lengths

    def check(table: BlockTable, chosen: IntArray) -> TextSize:
        starts, ends = table.starts[chosen], table.ends[chosen]
        found = measure_blocks(text, starts, ends)
        expected = count_by_hand(families[family], TEXTS, per_document, [*zip(starts, ends, strict=True)])
        assert list_sizes(found) == list_sizes(expected)
        return expected

    whole = cut_blocks(lengths, 16)
    assert check(whole, np.arange(len(whole))).num_bytes.sum() == sum(len(each.encode()) for each in TEXTS)
    for options in ({"drop_tail": True}, {"group_size": 1, "truncate": True}, {"group_size": 2, "drop_tail": True}):
        table = cut_blocks(lengths, 16, **options)
        check(table, np.arange(len(table)))
    for _ in range(5):
        check(whole, rng.permutation(len(whole))[:7])


def test_long_documents_are_measured_in_parts(
    wordpiece: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text(wordpiece, [" ".join(read_reviews())], True, tmp_path)
    starts, ends = np.array([0, 160]), np.array([32, 192])
    whole = measure_blocks(text, starts, ends)
    monkeypatch.setattr(encoding, "PART_CHARACTERS", 1000)
    monkeypatch.setattr(encoding, "OVERLAP_CHARACTERS", 200)
    assert list_sizes(measure_blocks(text, starts, ends)) == list_sizes(whole)


def test_bytes_of_tokens_add_up_to_the_text() -> None:
    text = " a\ud800é漢\U0001f600 b "
    offsets = np.array([[0, 0], [1, 2], [2, 3], [3, 4], [3, 4], [4, 6], [7, 8], [0, 0]])
    assert measure_tokens(text, offsets, 1).tolist() == [0, 2, 3, 2, 0, 7, 3, 0]
    assert len(text.encode(errors="surrogatepass")) == 17


def test_slow_tokenizer_has_bytes_of_whole_documents_only(tmp_path: Path) -> None:
    text = make_text(CanineTokenizer(), ["a film", "long"], True, tmp_path)
    assert list_sizes(measure_blocks(text, np.array([0]), np.array([8]))) == [[6, 0], [6, 0]]
    assert measure_blocks(text, np.array([0]), np.array([10])) is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drop_tail": True},
        {"block_policy": "document", "truncate": True},
        {"num_val_blocks": 3},
        {"num_val_blocks": 5, "val_source": "train_blocks"},
    ],
    ids=str,
)
def test_bits_per_byte_are_of_the_scored_blocks(
    options: Any, tiny_bert: str, cache_dir: str, make_trainer: Callable[..., Any]
) -> None:
    folder = str(FIXTURES / "aclImdb")
    data = IMDBDataModule(data_dir=folder, tokenizer=tiny_bert, block_size=32, cache_dir=cache_dir, **options)
    module = MaskedLM(tiny_bert)
    make_trainer().validate(module, data, verbose=False)
    found, examples = module.results["val"], data.examples["val"]
    starts, ends = examples.table.starts[examples.chosen], examples.table.ends[examples.chosen]
    texts = data.read_documents("val")[TEXT][:]
    size = count_by_hand(data.tokenizer, texts, True, [*zip(starts, ends, strict=True)])
    assert found["bits_per_byte"] == pytest.approx(
        found["loss"] / math.log(2) * size.num_tokens.sum() / size.num_bytes.sum()
    )
    assert (size.num_bytes.sum() == sum(len(text.encode()) for text in texts)) == (not options)
    assert "tokens_per_byte" not in found
    if not options:
        make_trainer(limit_val_batches=1).validate(module, data, verbose=False)
        assert "bits_per_byte" not in module.results["val"]
