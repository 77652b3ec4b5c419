"""What `show` prints of documents."""

import re
from itertools import pairwise
from typing import Any

import pytest

from lit_mlm.data.sets.imdb import IMDBDataModule
from lit_mlm.data.show.examples import describe_examples
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES


@pytest.fixture
def make_data(tiny_bert: str, cache_dir: str) -> Any:
    def make(**options: Any) -> IMDBDataModule:
        options = dict[str, Any]({"tokenizer": tiny_bert, "block_size": 32, "cache_dir": cache_dir}) | options
        data = IMDBDataModule(data_dir=str(FIXTURES / "aclImdb"), **options)
        data.setup("fit")
        return data

    return make


def test_document_lengths_boundaries_and_masks(make_data: Any) -> None:
    data = make_data()
    lines = list(describe_examples(data, "train", num_examples=2, num_blocks=100))
    text = data.read_documents("train")["text"][1]
    ids = [data.tokenizer(document)["input_ids"] for document in data.read_documents("train")["text"][:2]]
    second = lines.index(next(line for line in lines if line.startswith("document 1:")))
    sizes = f"{len(text)} characters, {len(text.encode())} bytes, {len(text.split())} words, {len(ids[1])} tokens"
    assert lines[second] == f"document 1: {sizes}"
    assert repr(text[:400]) in lines[second + 1]
    first_block, last_block = len(ids[0]) // 32, (len(ids[0]) + len(ids[1]) - 1) // 32
    boundaries = range((first_block + 1) * 32 - len(ids[0]), len(ids[1]), 32)
    assert lines[second + 2] == (
        f"  in blocks {first_block} to {last_block}, with boundaries before tokens {', '.join(map(str, boundaries))}"
    )
    block = next(line for line in lines if line.startswith(f"  block {first_block}: "))
    original = re.sub(r"\{(\S+)(?: -> \S+)?\}", r"\1", block.partition(": ")[2].replace("| ", ""))
    expected = [*ids[0], *ids[1]][first_block * 32 : (first_block + 1) * 32]
    assert original.split() == [data.tokenizer.decode([i]) for i in expected]
    assert "| [CLS]" in block
    assert sum("-> [MASK]}" in line for line in lines) > 1


def test_blocks_that_are_not_trained_on_have_no_masks(make_data: Any) -> None:
    lines = list(describe_examples(make_data(num_train_blocks=1), "train", num_examples=3, num_blocks=100))
    blocks = [line for line in lines if line.startswith("  block ")]
    assert sum("not an example of this split" in line for line in blocks) >= len(blocks) - 1 > 0


def test_sampled_documents_and_blocks_are_shown_first(make_data: Any) -> None:
    data = make_data(num_train_blocks=2)
    for num_blocks in (None, 1):
        lines = list(describe_examples(data, "train", num_examples=2, num_blocks=num_blocks))
        blocks = [line for line in lines if line.startswith("  block ") and "not an example" not in line]
        assert {int(line.split()[1].rstrip(":")) for line in blocks} == set(data.examples["train"].chosen.tolist())
    (first, *_) = [i for i in range(22) if f"document {i}:" not in "\n".join(lines)]
    assert any("not an example" in line for line in describe_examples(data, "train", indices=[first]))


def test_documents_begin_where_they_do(make_data: Any) -> None:
    data = make_data(special_tokens="block", num_train_blocks=5)
    lines = list(describe_examples(data, "train", num_examples=22, num_blocks=100))
    lengths = data.texts["train"].tokens.document_lengths
    seen = dict(line.strip().split(": ", 1) for line in lines if line.startswith("  block "))
    assert sum(text.count("| ") for text in seen.values()) == len(lengths)  # each once, in examples or not
    assert not any("| [CLS]" in text for text in seen.values())


def test_pieces_of_characters_are_shown_by_name(make_data: Any, tiny_roberta: str) -> None:
    data = make_data(tokenizer=tiny_roberta, special_tokens="block", block_policy="document")
    text = "\n".join(describe_examples(data, "val"))
    assert "\ufffd" not in text
    assert "{" in text


def test_documents_by_number(make_data: Any) -> None:
    data = make_data()
    lines = list(describe_examples(data, "train", num_examples=20))
    starts = [i for i, line in enumerate(lines) if line.startswith("document ")] + [len(lines) + 1]
    parts = [lines[i : j - 1] for i, j in pairwise(starts)]
    chosen = list(describe_examples(data, "train", indices=[7, 2, 7]))
    assert chosen == [*lines[:2], "", *parts[7], "", *parts[2], "", *parts[7]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_examples": 0}, "--num_examples must be at least 1, got 0"),
        ({"num_blocks": -2}, "--num_blocks must be at least 0, got -2"),
        ({"indices": [0, 22]}, "--indices 22: the train split has 22 documents, numbered from 0 to 21"),
    ],
)
def test_options_out_of_range(make_data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(describe_examples(make_data(), "train", **options))
