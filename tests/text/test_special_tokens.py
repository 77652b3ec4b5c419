"""What stands around a sequence, over the families of tokenizers."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id, find_special_tokens, lay_out
from tests.families import FAMILIES


def name_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[list[str], ...]:
    around = find_special_tokens(tokenizer)
    return tuple(list(tokenizer.convert_ids_to_tokens(ids)) for ids in (around.prefix, around.suffix))


def test_names_by_family(families: dict[str, PreTrainedTokenizerFast]) -> None:
    assert {family: name_tokens(families[family]) for family in FAMILIES} == {
        "wordpiece": (["[CLS]"], ["[SEP]"]),
        "bpe": (["<s>"], ["</s>"]),
        "bpe_with_prefix_space": (["<s>"], ["</s>"]),
        "bpe_roberta": (["<s>"], ["</s>"]),
        "unigram": ([], ["</s>"]),
        "unigram_first": ([], ["</s>"]),
        "unigram_never": ([], ["</s>"]),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_any_text_stands_between_them(family: str, families: dict[str, PreTrainedTokenizerFast]) -> None:
    around = find_special_tokens(families[family])
    for text in ("", "a", "the cast", "\u6f22 \U0001f600!"):
        bare = families[family](text, add_special_tokens=False)["input_ids"]
        assert families[family](text)["input_ids"] == [*around.prefix, *bare, *around.suffix]
    assert len(around) == families[family].num_special_tokens_to_add()


def make_tokenizer(template: str, words: str = "[UNK] a < > x", **names: str) -> PreTrainedTokenizerFast:
    vocab = {word: i for i, word in enumerate(words.split())}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]" if "[UNK]" in vocab else None))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(word, vocab[word]) for word in "<>" if word in template]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


@pytest.mark.parametrize(
    ("template", "expected"),
    [("$A", ([], [])), ("$A < >", ([], [2, 3])), ("< > $A", ([2, 3], [])), ("< $A > >", ([2], [3, 3]))],
)
def test_several_none_and_one_side(template: str, expected: tuple[list[int], list[int]]) -> None:
    assert find_special_tokens(make_tokenizer(template)) == SpecialTokens(*expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"pad_token": "x", "eos_token": ">", "mask_token": "<"}, 4),
        ({"eos_token": ">", "mask_token": "<"}, 3),
        ({"mask_token": "<"}, 2),
        ({}, 0),
    ],
)
def test_padding(names: dict[str, str], expected: int) -> None:
    assert find_pad_id(make_tokenizer("< $A >", **names)) == expected


@pytest.mark.parametrize("special_tokens", [SpecialTokens([], []), SpecialTokens([7, 8], [9]), SpecialTokens([], [9])])
def test_rows_are_slices_with_special_tokens(special_tokens: SpecialTokens) -> None:
    stream, starts, ends = np.arange(10, 20, dtype=np.int32), np.array([0, 8, 3]), np.array([4, 10, 3])
    rows = lay_out(stream, starts, ends, special_tokens)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        text = stream[start:end].tolist()
        expected = [*special_tokens.prefix, *text, *special_tokens.suffix]
        assert rows.is_token[i].tolist() == [j < len(expected) for j in range(rows.ids.shape[1])]
        assert rows.ids[i][rows.is_token[i]].tolist() == expected
        assert stream[rows.places[i][rows.is_text[i]]].tolist() == text
        assert rows.ids[i][rows.is_text[i]].tolist() == text
    assert rows.ids.shape == (3, 4 + len(special_tokens))
