"""Given words in place of masks, against the pipeline of `transformers` and chains that are computed one by one."""

import math
from typing import Any, get_args

import pytest
import torch
from transformers import PreTrainedTokenizerFast, pipeline

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import fill_masks, load_masked_lm
from lit_mlm.inference.masked_texts import BadTextError
from lit_mlm.inference.targets import Normalize, ScoredTarget, TargetEncoder

TEXTS = ["The story was [MASK] and the rest felt bright.", "A [MASK] and a [MASK].", "I left before the end [MASK]"]
WORDS = ["dull", "bright", "splendid", "a dull story", "film"]
"""Some of one token, and some of several."""


def test_single_tokens_equal_the_pipeline(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    targets = [token for token in ("was", "film", "story", "the", "##s", ".") if token in tokenizer.get_vocab()]
    assert len(targets) >= 4
    found = fill_masks(net, tokenizer, TEXTS[:1], targets=targets)[0][0]
    expected: Any = pipeline("fill-mask", tiny_bert, device="cpu")(TEXTS[0], targets=targets, top_k=len(targets))
    for one, other in zip(found, expected, strict=True):
        assert (one["tokens"], one["token_strs"]) == ([other["token"]], [other["token_str"]])
        assert one["sequence"] == other["sequence"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)
    assert fill_masks(net, tokenizer, TEXTS[:1], 2, targets=targets)[0][0] == found[:2]


def score_slowly(net: Any, tokenizer: Any, text: str, mask: int, tokens: list[int]) -> float:
    """The chain of a word's tokens, one call of the dense net each."""
    ids = tokenizer(text.replace("[MASK]", tokenizer.mask_token))["input_ids"]
    place = [i for i, token_id in enumerate(ids) if token_id == tokenizer.mask_token_id][mask]
    total = 0.0
    for i, token_id in enumerate(tokens):
        word = tokens[:i] + [tokenizer.mask_token_id] * (len(tokens) - i)
        row = torch.tensor([ids[:place] + word + ids[place + 1 :]])
        with torch.no_grad():
            logits = net.eval()(input_ids=row, attention_mask=torch.ones_like(row)).logits[0, place + i]
        total += float(logits.log_softmax(-1)[token_id])
    return total


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_words_of_several_tokens_have_the_score_of_their_chain(model: str, request: pytest.FixtureRequest) -> None:
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    for text, masks in zip(TEXTS, fill_masks(net, tokenizer, TEXTS, targets=WORDS), strict=True):
        for mask, found in enumerate(masks):
            assert max(len(target["tokens"]) for target in found) > 2
            assert sorted(target["target"] for target in found) == sorted(WORDS)
            chains = [score_slowly(net, tokenizer, text, mask, target["tokens"]) for target in found]
            assert [math.log(target["score"]) for target in found] == pytest.approx(chains, abs=1e-4)
            assert chains == sorted(chains, reverse=True)


def test_places_in_parts_have_the_same_scores(tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    expected = fill_masks(net, tokenizer, TEXTS, targets=WORDS)
    monkeypatch.setattr("lit_mlm.inference.targets.TOKENS_AT_A_TIME", 1)
    for masks, others in zip(fill_masks(net, tokenizer, TEXTS, targets=WORDS), expected, strict=True):
        for found, other in zip(masks, others, strict=True):
            assert [one["target"] for one in found] == [one["target"] for one in other]
            assert [one["score"] for one in found] == pytest.approx([one["score"] for one in other], rel=1e-5)
    assert fill_masks(net, tokenizer, [], targets=WORDS) == []


def test_lone_surrogates_are_read_as_replacement_characters(tiny_roberta: str) -> None:
    net, tokenizer = load_masked_lm(tiny_roberta)
    ((one,),) = fill_masks(net, tokenizer, ["a\ud800 [MASK]"], targets=["b\udfff"])
    ((other,),) = fill_masks(net, tokenizer, ["a\ufffd [MASK]"], targets=["b\ufffd"])
    assert (one[0]["score"], one[0]["text"]) == (other[0]["score"], "a\ud800 b\udfff")


def test_scores_are_normalised(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    found = {}
    for normalize in get_args(Normalize):
        ((targets,),) = fill_masks(net, tokenizer, TEXTS[:1], targets=WORDS, normalize=normalize)
        found[normalize] = {target["target"]: target for target in targets}
    total = sum(target["score"] for target in found["none"].values())
    for word, target in found["none"].items():
        assert found["tokens"][word]["score"] == pytest.approx(target["score"] ** (1 / len(target["tokens"])))
        assert found["candidates"][word]["score"] == pytest.approx(target["score"] / total)


def test_targets_of_the_same_tokens_share_once(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    options: dict[str, Any] = {"normalize": "candidates"}
    ((expected,),) = fill_masks(net, tokenizer, TEXTS[:1], targets=["film", "dull"], **options)
    ((found,),) = fill_masks(net, tokenizer, TEXTS[:1], targets=["film", "dull", "Film", "FILM"], **options)
    shares = {target["target"]: target["score"] for target in found}
    assert shares["film"] == shares["Film"] == shares["FILM"]
    for target in expected:
        assert shares[target["target"]] == pytest.approx(target["score"])


def get_tokens(tokenizer: Any, text: str, target: str) -> list[str]:
    """The tokens of a target in place of the only mask of a text."""
    span = text.index("[MASK]"), text.index("[MASK]") + len("[MASK]")
    (ids,) = TargetEncoder(tokenizer, [target], 60).encode(text, span)
    return list(tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize(
    "text", ["a [MASK] story", "[MASK] story", "was ([MASK])", "one\n[MASK]", "the 'story' [MASK]."]
)
@pytest.mark.parametrize("target", ["story", "splendid", "a dull story", "was"])
@pytest.mark.parametrize("family", ["wordpiece", "bpe_roberta", "unigram", "unigram_first"])
def test_words_have_the_tokens_of_the_text_that_they_make(
    family: str, text: str, target: str, families: dict[str, PreTrainedTokenizerFast]
) -> None:
    """The tokens of the whole text with the word end with those of the word, if nothing follows."""
    tokenizer = families[family]
    before = text[: text.index("[MASK]")]
    if family == "bpe_roberta":
        before = before.replace("\n", " ")  # its mask takes the white space, whatever it is
    whole = tokenizer.tokenize(before + target)
    context = tokenizer.tokenize(before.rstrip())
    assert whole[: len(context)] == context
    assert get_tokens(tokenizer, text, target) == whole[len(context) :]


def test_a_word_that_continues_another_has_tokens_inside_a_word(tiny_bert: str, tiny_roberta: str) -> None:
    _, bert = load_masked_lm(tiny_bert)
    assert get_tokens(bert, "stor[MASK]", "s") == ["##s"]
    assert get_tokens(bert, "stor [MASK]", "s") == ["s"]
    _, roberta = load_masked_lm(tiny_roberta)
    assert get_tokens(roberta, "stor[MASK]", "y") == ["y"]
    assert get_tokens(roberta, "stor [MASK]", "y")[0].startswith("\u0120")


def test_the_text_has_the_word_as_it_was_given(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    (((found,),),) = fill_masks(net, tokenizer, ["The  [MASK] GOOD"], targets=["Splendid Story"])
    assert (found["target"], found["text"]) == ("Splendid Story", "The  Splendid Story GOOD")
    assert found["sequence"] == "the splendid story good"
    assert set(found) == set(ScoredTarget.__annotations__)
    (((found,),),) = fill_masks(net, tokenizer, ["The stor [MASK]."], targets=["##y"])
    assert found["text"] == "The story."


def test_bad_targets_are_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    for targets, message in (
        ([], "targets must have at least one word, got none"),
        ("film", "targets must be a list, got the text 'film'"),
        (["film", " "], "the tokenizer has no tokens for the target ' '"),
        (["caf\u6f22"], "the tokenizer has no tokens for the target 'caf\u6f22'"),
        (["a [MASK]"], r"the target 'a \[MASK\]' has a mask"),
        (["film " * 63], "the target 'film film .* tokens, but a window has 62"),
    ):
        with pytest.raises(InputError, match=message):
            fill_masks(net, tokenizer, TEXTS, targets=targets)
    with pytest.raises(InputError, match="normalize must be one of none, tokens, candidates, got 'all'"):
        fill_masks(net, tokenizer, TEXTS, targets=["film"], normalize="all")  # type: ignore[call-overload]
    with pytest.raises(BadTextError, match="the text has no mask") as caught:
        fill_masks(net, tokenizer, [TEXTS[0], "none"], targets=["film"])
    assert caught.value.index == 1
