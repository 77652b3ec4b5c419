"""Joint fillings, against chains that are computed one by one with the dense net."""

import itertools
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from lit_mlm.errors import InputError
from lit_mlm.inference.fill import fill_masks, load_masked_lm
from lit_mlm.inference.fill_jointly import Method, fill_jointly
from lit_mlm.inference.masked_texts import BadTextError

TEXT = "The [MASK] was [MASK]."


def compute_log_probs(net: Any, ids: Tensor) -> Tensor:
    """Log-probabilities of all tokens at all positions, shape (T, V)."""
    net.eval()
    with torch.no_grad():
        return torch.as_tensor(net(ids[None], attention_mask=torch.ones_like(ids)[None]).logits[0]).log_softmax(-1)


def encode(tokenizer: Any, text: str) -> tuple[Tensor, list[int]]:
    ids = torch.tensor(tokenizer(text.replace("[MASK]", tokenizer.mask_token))["input_ids"])
    return ids, (ids == tokenizer.mask_token_id).nonzero()[:, 0].tolist()


def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_of_all_pairs(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    ids, (first, second) = encode(tokenizer, TEXT)
    log_probs = compute_log_probs(net, ids)[first]
    scores = {}
    for one in range(net.config.vocab_size):
        filled = ids.clone()
        filled[first] = one
        for other, score in enumerate((log_probs[one] + compute_log_probs(net, filled)[second]).tolist()):
            scores[one, other] = score
    best = sorted(scores, key=lambda pair: -scores[pair])[:20]
    found = fill_jointly(net, tokenizer, [TEXT], top_k=20, beam_size=net.config.vocab_size)[0]
    assert [tuple(filling["tokens"]) for filling in found] == best
    assert [filling["score"] for filling in found] == pytest.approx([scores[pair] for pair in best], abs=1e-5)


def search_slowly(net: Any, tokenizer: Any, text: str, method: str, size: int, top_k: int) -> list[tuple[float, Any]]:
    """A beam search with one call of the dense net for each beam."""
    ids, positions = encode(tokenizer, text)
    beams = [(0.0, ids)]
    for step in range(len(positions)):
        longer = []
        for score, filled in beams:
            log_probs = compute_log_probs(net, filled)
            empty = [p for p in positions if filled[p] == tokenizer.mask_token_id]
            place = max(empty, key=lambda p: log_probs[p].max()) if method == "confident" else empty[0]
            for token_id, log_prob in enumerate(log_probs[place].tolist()):
                new = filled.clone()
                new[place] = token_id
                longer.append((score + log_prob, new))
        unlike = {tuple(new.tolist()): (score, new) for score, new in sorted(longer, key=lambda one: one[0])}
        longer = sorted(unlike.values(), key=lambda one: -one[0])  # in place of equal ones, the best
        beams = longer[: top_k if step + 1 == len(positions) else size]
    return [(score, filled[positions].tolist()) for score, filled in beams]


@pytest.mark.parametrize("method", ["beam", "confident"])
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_searches_of_many_texts_equal_those_one_by_one(
    model: str, method: Method, request: pytest.FixtureRequest
) -> None:
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    texts = ["A [MASK].", "[MASK] story [MASK] dull and [MASK].", TEXT]
    for size, top_k in ((1, 3), (4, 2)):
        found = fill_jointly(net, tokenizer, texts, top_k=top_k, method=method, beam_size=size)
        for text, fillings in zip(texts, found, strict=True):
            expected = search_slowly(net, tokenizer, text, method, size, top_k)
            assert [filling["tokens"] for filling in fillings] == [tokens for _, tokens in expected]
            assert [f["score"] for f in fillings] == pytest.approx([score for score, _ in expected], abs=1e-5)


def test_the_confident_order_is_not_always_from_left_to_right(tiny_bert: str) -> None:
    """Else the test above would not tell the methods apart."""
    net, tokenizer = load_masked_lm(tiny_bert)
    words = ["story", "film", "dull", "bright", "cast", "rest"]
    texts = [f"The {a} [MASK] {b} [MASK] {c}." for a, b, c in itertools.permutations(words, 3)][:30]
    found = [fill_jointly(net, tokenizer, texts, 1, method, 1) for method in get_args(Method)]
    assert [fillings[0]["score"] for fillings in found[0]] != pytest.approx([f[0]["score"] for f in found[1]], abs=1e-5)


def test_the_same_filling_is_found_once_although_several_orders_lead_to_it(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    for found in fill_jointly(net, tokenizer, [TEXT, "[MASK] story [MASK] dull."], 100, "confident", 100):
        assert len({tuple(filling["tokens"]) for filling in found}) == len(found) == 100


def test_fields(tiny_roberta: str) -> None:
    net, tokenizer = load_masked_lm(tiny_roberta)
    ((filling,),) = fill_jointly(net, tokenizer, ["One<mask> was  [MASK]!"], top_k=1)
    ids, positions = encode(tokenizer, "One<mask> was  [MASK]!")
    ids[positions] = torch.tensor(filling["tokens"])
    assert filling["sequence"] == tokenizer.decode(ids, skip_special_tokens=True)
    assert filling["token_strs"] == [tokenizer.decode([token_id]) for token_id in filling["tokens"]]
    one, other = (text.strip() for text in filling["token_strs"])
    assert filling["text"].startswith("One")
    assert one in filling["text"]
    assert filling["text"].endswith(f"{other}!")
    ((single,),) = fill_jointly(net, tokenizer, ["A <mask>."], top_k=1)
    (((candidate,),),) = fill_masks(net, tokenizer, ["A <mask>."], top_k=1)
    assert (single["tokens"], single["text"]) == ([candidate["token"]], candidate["text"])
    assert fill_jointly(net, tokenizer, []) == []


def test_bad_input_is_refused(tiny_bert: str) -> None:
    net, tokenizer = load_masked_lm(tiny_bert)
    with pytest.raises(InputError, match="beam_size must be between 1 and the vocabulary's 150, got 151"):
        fill_jointly(net, tokenizer, [TEXT], beam_size=151)
    with pytest.raises(InputError, match="method must be one of beam, confident, got 'best'"):
        fill_jointly(net, tokenizer, [TEXT], method="best")  # type: ignore[arg-type]
    apart = f"The [MASK] {'story ' * 61}[MASK] story."
    with pytest.raises(InputError, match="masks 1 to 2 span 63 tokens, but a window has 62; masks") as caught:
        fill_jointly(net, tokenizer, [TEXT, apart])
    assert isinstance(caught.value, BadTextError)
    assert caught.value.index == 1
    assert len(fill_jointly(net, tokenizer, [apart.replace("story ", "", 1)], top_k=2)[0]) == 2
