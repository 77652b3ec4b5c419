"""Strategies: references in plain Python, statistics, exact budgets, and independence of what stands beside."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.errors import InputError
from lit_mlm.text.arrays import BoolArray, IntArray
from lit_mlm.text.masking.masking import Masking, fingerprint_masks, mask_tokens
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking, find_span_starts
from tests.text.masking.test_masking import MASK_ID, NUM_SPECIAL, VOCAB_SIZE, hash_reference, make_batch

STRATEGIES: list[MaskingStrategy] = [
    *(kind(budget) for kind in (TokenMasking, WordMasking, SpanMasking) for budget in ("expected", "exact")),
    WordMasking(replace_per="token"),
    SpanMasking("exact", replace_per="word", length_prob=0.5, max_length=3),
]


def draw_words(shape: tuple[int, int], seed: int = 0) -> BoolArray:
    """Words of 1.5 tokens on average, some of them long."""
    rng = np.random.default_rng(seed)
    starts = rng.random(shape) < rng.choice([0.2, 0.8], p=[0.2, 0.8], size=shape)
    starts[:, 0] = True
    return starts


def draw_batch(num: int = 40, length: int = 60) -> tuple[IntArray, BoolArray, IntArray, BoolArray]:
    """Ids with special tokens among them, padding, example ids, starts of words."""
    ids, is_token, examples = make_batch(num, length)
    rng = np.random.default_rng(5)
    ids[rng.random(ids.shape) < 0.05] = 2
    is_token &= np.arange(length) < rng.integers(1, length + 1, (num, 1))
    starts = draw_words(ids.shape)
    starts |= ids == 2
    starts[:, 1:] |= ids[:, :-1] == 2
    return ids, is_token, examples * 3, starts


def group(starts: BoolArray, row: int, length: int) -> list[list[int]]:
    units: list[list[int]] = []
    for i in range(length):
        if i == 0 or starts[row, i]:
            units.append([])
        units[-1].append(i)
    return units


def join_spans(words: list[list[int]], maskable: list[bool], lengths: list[int]) -> list[list[int]]:
    """Words put together, as many as the lengths say; not over a token that may not be masked."""
    boundaries = {0, *np.cumsum(lengths).tolist()}
    spans: list[list[int]] = []
    for number, word in enumerate(words):
        is_cut = not maskable[word[0]] or (word[0] > 0 and not maskable[word[0] - 1])
        if number in boundaries or is_cut:
            spans.append([])
        spans[-1] += word
    return spans


def draw_length(uniform: float, prob: float, longest: int) -> int:
    """The smallest length whose share of all spans, with the shorter ones, is above a number."""
    total = sum(prob * (1 - prob) ** (k - 1) for k in range(1, longest + 1))
    share = 0.0
    for length in range(1, longest + 1):
        share += prob * (1 - prob) ** (length - 1) / total
        if uniform < share:
            return length
    return longest


def choose_slowly(
    strategy: Any, units: list[list[int]], maskable: list[bool], numbers: list[float], rate: float
) -> set[int]:
    sizes = [sum(maskable[i] for i in unit) for unit in units]
    if strategy.mask_budget == "expected":
        chosen = [u for u, unit in enumerate(units) if numbers[unit[0]] < rate]
    else:
        total, budget = sum(maskable), round(rate * sum(maskable))
        order = sorted((u for u, size in enumerate(sizes) if size), key=lambda u: numbers[units[u][0]])
        if isinstance(strategy, TokenMasking):
            chosen = order[:budget]
        else:
            position = sum(numbers[units[u][0]] for u in range(len(units)) if sizes[u]) % 1 * total
            chosen, end = [], 0
            for u in order:
                if (end + sizes[u] / 2 - position) % total < budget:
                    chosen.append(u)
                end += sizes[u]
    return {i for u in chosen for i in units[u] if maskable[i]}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_equal_to_reference(strategy: Any) -> None:
    ids, is_token, examples, starts = draw_batch()
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.3, 0.6, 0.3, strategy)
    masked, labels = mask_tokens(ids, is_token, examples, masking, seed=-3, epoch=2, word_starts=starts)
    seen: set[str] = set()
    for row, length in enumerate(is_token.sum(axis=1)):
        example = int(examples[row])

        def draw(purpose: int, place: int, example: int = example) -> float:
            return hash_reference(-3, 2, example, place, purpose)

        maskable = [bool(ids[row, i] >= NUM_SPECIAL) for i in range(length)]
        words = group(starts, row, length)
        units = words
        if isinstance(strategy, TokenMasking):
            units = [[i] for i in range(length)]
        elif isinstance(strategy, SpanMasking):
            lengths = [draw_length(draw(4, k), strategy.length_prob, strategy.max_length) for k in range(length)]
            units = join_spans(words, maskable, lengths)
        chosen = choose_slowly(strategy, units, maskable, [draw(1, i) for i in range(length)], 0.3)
        for i in range(length):
            first = i
            if strategy.replace_per == "word":
                first = next(word[0] for word in words if i in word)
            while strategy.replace_per == "span" and first - 1 in chosen:
                first -= 1
            action, expected = draw(2, first), int(ids[row, i])
            if i in chosen and action < 0.9:
                seen.add("mask" if action < 0.6 else "random")
                expected = MASK_ID if action < 0.6 else NUM_SPECIAL + int(draw(3, i) * (VOCAB_SIZE - NUM_SPECIAL))
            assert masked[row, i] == expected
            assert labels[row, i] == (ids[row, i] if i in chosen else IGNORE_INDEX)
    assert seen == {"mask", "random"}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_independent_of_batch_order_and_padding(strategy: MaskingStrategy) -> None:
    ids, is_token, examples, starts = draw_batch()
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, strategy=strategy)
    whole = mask_tokens(ids, is_token, examples, masking, 9, 3, starts)
    lengths, order = is_token.sum(axis=1), np.random.default_rng(1).permutation(len(ids))
    for size in (1, 7):
        for rows in np.split(order, range(size, len(order), size)):
            width = lengths[rows].max()
            # What stands on padding is not to matter.
            other = np.where(is_token, ids, 7)[rows, :width], np.where(is_token, starts, ids % 2 == 0)[rows, :width]
            part = mask_tokens(other[0], is_token[rows, :width], examples[rows], masking, 9, 3, other[1])
            for found, expected in zip(part, whole, strict=True):
                inside = is_token[rows, :width]
                assert np.array_equal(found[inside], expected[rows, :width][inside])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_shares_on_100_000_tokens(strategy: Any) -> None:
    """Rate, and 80/10/10 of units, within five standard deviations; an exact budget is met."""
    ids, is_token, examples = make_batch()
    starts = draw_words(ids.shape)
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, strategy=strategy)
    masked, labels = mask_tokens(ids, is_token, examples, masking, 1, 0, starts)
    scored = labels != IGNORE_INDEX
    if strategy.mask_budget == "exact":
        sums, longest = scored.sum(axis=1), 1
        if not isinstance(strategy, TokenMasking):
            words = np.diff(np.flatnonzero(np.append(starts.ravel(), True)))
            longest = int(words.max()) * getattr(strategy, "max_length", 1)
            assert abs(sums.mean() - 19) < 5 * sums.std() / len(sums) ** 0.5 < 1
        assert abs(sums - round(0.15 * 128)).max() < longest
    else:
        mean, deviation = scored.mean(), scored.mean(axis=1).std() / len(ids) ** 0.5
        assert abs(mean - 0.15) < 5 * deviation < 0.02
    heads = scored.copy()
    if strategy.replace_per == "word":
        heads &= starts
    if strategy.replace_per == "span":
        heads[:, 1:] &= ~scored[:, :-1]
    for share, kind in ((0.8, masked == MASK_ID), (0.1, (masked != MASK_ID) & (masked != ids)), (0.1, masked == ids)):
        found = kind[heads].mean()
        own = 2e-4  # a random token may be the token itself
        assert abs(found - share) < 5 * (share * (1 - share) / heads.sum()) ** 0.5 + own


@pytest.mark.parametrize("budget", ["expected", "exact"])
@pytest.mark.parametrize("kind", [WordMasking, SpanMasking])
def test_words_are_masked_whole(kind: Any, budget: Any) -> None:
    ids, is_token, examples = make_batch()
    starts = draw_words(ids.shape)
    masking = Masking(MASK_ID, np.ones(VOCAB_SIZE, dtype=bool), 0.2, 1.0, 0.0, kind(budget))
    masked, labels = mask_tokens(ids, is_token, examples, masking, 1, 0, starts)
    scored = labels != IGNORE_INDEX
    words = np.cumsum(starts.ravel())
    sizes, hits = np.bincount(words), np.bincount(words, weights=scored.ravel())
    assert np.isin(hits / np.maximum(sizes, 1), (0, 1)).all()
    assert (masked[scored] == MASK_ID).all()
    assert hits.astype(bool).sum() > 5000


def test_replacement_by_word_and_by_token_differ_within_words() -> None:
    ids, is_token, examples = make_batch()
    starts = draw_words(ids.shape)
    mixed = []
    for replace_per in ("word", "token"):
        strategy = WordMasking(replace_per=replace_per)
        masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, strategy=strategy)
        masked, labels = mask_tokens(ids, is_token, examples, masking, 1, 0, starts)
        inside = (labels != IGNORE_INDEX) & ~starts
        before = np.roll(masked, 1, axis=1) == MASK_ID
        mixed.append(((masked == MASK_ID) != before)[inside].sum())
    assert mixed[0] == 0 < mixed[1]


@pytest.mark.parametrize("budget", ["expected", "exact"])
def test_lengths_of_spans_are_geometric(budget: Any) -> None:
    """Shares of the lengths 1 to 10 of the spans that text is parted into, and of those that are chosen."""
    ids, is_token, examples = make_batch(60, 4096)
    starts, strategy = draw_words(ids.shape), SpanMasking(budget)
    expected = 0.2 * 0.8 ** np.arange(10)
    expected /= expected.sum()
    rare = np.full(len(ids), 0.02)  # so that chosen spans seldom touch
    chosen = strategy.choose(ids, is_token, starts, examples, 1, 0, rare)
    words = np.cumsum(starts, axis=1)
    lengths = []
    for row in range(len(ids)):
        runs = np.flatnonzero(np.diff(np.concatenate([[False], chosen[row], [False]]).astype(int)))
        lengths += [words[row, end - 1] - words[row, begin] + 1 for begin, end in runs.reshape(-1, 2)]
    shares = np.bincount(lengths, minlength=12)[1:12] / len(lengths)
    assert len(lengths) > 800
    assert abs(shares[:10] - expected).max() < 5 * (0.25 * 0.75 / len(lengths)) ** 0.5 + 0.005
    assert np.mean(lengths) == pytest.approx(3.8, abs=0.3)  # the paper's mean
    drawn = strategy.draw_lengths(np.random.default_rng(0).random(200_000))
    found = np.bincount(drawn, minlength=11)[1:] / len(drawn)
    assert abs(found - expected).max() < 5 * (0.25 * 0.75 / len(drawn)) ** 0.5


def draw_typed_words(num: int, length: int, seed: int = 0) -> tuple[IntArray, BoolArray]:
    """The type of each token's word, of 8, and the starts of words; a type has 1, 2, 3, 5 or 9 tokens."""
    rng, sizes = np.random.default_rng(seed), np.array([1, 1, 1, 2, 2, 3, 5, 9])
    types = rng.integers(0, len(sizes), (num, length))
    ends = np.cumsum(sizes[types], axis=1)
    word: IntArray = (ends[:, :, None] <= np.arange(length)).sum(axis=1)
    return np.take_along_axis(types, word, axis=1), np.diff(word, axis=1, prepend=-1) > 0


def find_p_value(chosen: BoolArray, groups: IntArray, rate: float) -> float:
    """Of the hypothesis that tokens of all groups are chosen at a rate, by Wald's chi-square over independent rows."""
    excess = (chosen[:, None] - rate) * (groups[:, None] == np.unique(groups)[:, None])
    means = excess.sum(axis=2).mean(axis=0)
    covariance = np.cov(excess.sum(axis=2), rowvar=False) / len(chosen)
    values, vectors = np.linalg.eigh(covariance)
    is_free = values > 1e-9 * values.max()  # exact sums leave a direction without variance
    if not np.allclose(means @ vectors[:, ~is_free], 0, atol=1e-9):
        return 0.0
    statistic = ((means @ vectors[:, is_free]) ** 2 / values[is_free]).sum()
    return float(stats.chi2.sf(statistic, is_free.sum()))


@dataclass(frozen=True)
class GreedyWords(WordMasking):
    """Takes words in random order while they fit, as BERT's `create_pretraining_data.py` does."""

    mask_budget: Any = "exact"

    def choose(self, ids: Any, is_maskable: Any, word_starts: Any, *args: Any) -> BoolArray:
        chosen: BoolArray = np.zeros(ids.shape, dtype=np.bool_)
        rng = np.random.default_rng(0)
        for row in range(len(ids)):
            words, left = group(word_starts, row, ids.shape[1]), round(0.2 * ids.shape[1])
            for u in rng.permutation(len(words)):
                if len(words[u]) <= left:
                    chosen[row, words[u]] = True
                    left -= len(words[u])
        return chosen


@pytest.mark.parametrize("length", [10, 30, 100])
@pytest.mark.parametrize("strategy", [*STRATEGIES, GreedyWords()], ids=str)
def test_every_place_length_and_type_of_word_is_as_likely(strategy: Any, length: int) -> None:
    num = 300_000 // length
    types, starts = draw_typed_words(num, length)
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.2, strategy=strategy)
    labels = mask_tokens(types + NUM_SPECIAL, np.ones_like(starts), np.arange(num), masking, 1, 0, starts)[1]
    chosen, words = labels != IGNORE_INDEX, np.cumsum(starts.ravel())
    sizes = np.bincount(words)[words].reshape(starts.shape)
    places = np.broadcast_to(np.arange(length), starts.shape)
    p_values = [find_p_value(chosen, groups, 0.2) for groups in (places, sizes, types)]
    if isinstance(strategy, GreedyWords):
        assert max(p_values[1:]) < 1e-9
    else:
        assert min(p_values) > 0.001, p_values


@pytest.mark.parametrize("length", [32, 512])
@pytest.mark.parametrize("budget", ["expected", "exact"])
def test_first_and_last_place_are_as_likely_as_the_middle(budget: Any, length: int) -> None:
    num = 60_000 if length < 200 else 12_000
    ids, is_token, examples = make_batch(num, length)
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.15, strategy=SpanMasking(budget))
    rates = (mask_tokens(ids, is_token, examples, masking, 0, 0, is_token)[1] != IGNORE_INDEX).mean(axis=0)
    rate = (round(0.15 * length) if budget == "exact" else 0.15 * length) / length
    assert abs(rates[[0, 1, -2, -1]] - rate).max() < 5 * (rate * (1 - rate) / num) ** 0.5


def test_exact_numbers_of_tokens_are_those_of_earlier_versions() -> None:
    ids, is_token, examples, starts = draw_batch()
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, strategy=TokenMasking("exact"))
    masked, labels = mask_tokens(ids, is_token, examples, masking, 9, 3, starts)
    assert (
        fingerprint_masks([(masked, labels, is_token)])
        == "441696cf2a9df2632501607d5eb92ffe977a89be281119dbc3999b2b374dcd3c"
    )


def test_special_tokens_end_spans() -> None:
    lengths = np.full((1, 8), 3)
    maskable = np.array([[True, True, True, True, False, True, True, True]])
    starts = np.array([[True, True, False, True, True, True, True, True]])
    expected = [[True, False, False, False, True, True, False, True]]
    assert find_span_starts(starts, maskable, lengths).tolist() == expected


def test_the_course_s_example() -> None:
    """Words with probability 0.2, all pieces the mask token, labels the original ids: chapter 7.3's collator.

    Its draw for each word is replaced by ours, which the reference above has; what follows from a draw is the same.
    """
    ids = np.array([[2, 10, 11, 12, 20, 30, 31, 40, 2]])
    word_ids = [None, 0, 0, 0, 1, 2, 2, 3, None]
    starts = np.array([[True, True, False, False, True, True, False, True, True]])
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.2, 1.0, 0.0, WordMasking())
    counts = np.zeros(4)
    for epoch in range(2000):
        masked, labels = mask_tokens(ids, np.ones_like(starts), np.array([5]), masking, 0, epoch, starts)
        mask = {w: hash_reference(0, epoch, 5, word_ids.index(w), 1) < 0.2 for w in range(4)}
        # The collator's own loop.
        theirs, new_labels = ids[0].tolist(), [IGNORE_INDEX] * 9
        for word in np.flatnonzero(list(mask.values())):
            for i in (i for i, w in enumerate(word_ids) if w == word):
                new_labels[i] = int(ids[0, i])
                theirs[i] = MASK_ID
        assert (masked[0].tolist(), labels[0].tolist()) == (theirs, new_labels)
        counts += list(mask.values())
    assert abs(counts / 2000 - 0.2).max() < 5 * (0.16 / 2000) ** 0.5


@dataclass(frozen=True)
class EverySecond(MaskingStrategy):
    """A researcher's own."""

    offset: int = 0

    def choose(self, ids: Any, is_maskable: Any, word_starts: Any, *args: Any) -> BoolArray:
        return np.broadcast_to(np.arange(ids.shape[1]) % 2 == self.offset, ids.shape)


def test_strategy_of_one_s_own() -> None:
    ids, is_token, examples, starts = draw_batch()
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.2, 1.0, 0.0, EverySecond(1))
    labels = mask_tokens(ids, is_token, examples, masking, 0, 0, starts)[1]
    expected = is_token & (ids >= NUM_SPECIAL)  # never what may not be masked
    expected[:, ::2] = False
    assert np.array_equal(labels != IGNORE_INDEX, expected)
    assert EverySecond(1).describe() == {"class_path": f"{__name__}.EverySecond", "init_args": {"offset": 1}}
    with pytest.raises(InputError, match="attributes of EverySecond must be of YAML's types"):
        EverySecond({1}).describe()  # type: ignore[arg-type]


@dataclass(frozen=True)
class NamedTokens(MaskingStrategy):
    """Scores all tokens of given names."""

    names: list[str]

    def choose(self, ids: Any, *args: Any) -> BoolArray:
        return np.isin(ids, [self.vocabulary[name] for name in self.names])


def test_strategy_knows_the_vocabulary() -> None:
    ids, is_token, examples, starts = draw_batch()
    strategy = NamedTokens(["a", "b"])
    with pytest.raises(RuntimeError, match="NamedTokens has no vocabulary yet"):
        strategy.choose(ids)
    known = strategy.with_vocabulary({"a": VOCAB_SIZE - 1, "b": VOCAB_SIZE - 2, "c": 0})
    masking = Masking(MASK_ID, np.arange(VOCAB_SIZE) >= NUM_SPECIAL, 0.2, 1.0, 0.0, pickle.loads(pickle.dumps(known)))
    labels = mask_tokens(ids, is_token, examples, masking, 0, 0, starts)[1]
    assert np.array_equal(labels != IGNORE_INDEX, is_token & (ids >= VOCAB_SIZE - 2))
    assert known.describe() == strategy.describe()
    assert (known, str(known)) == (strategy, str(strategy))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenMasking("all"), "data.masking.mask_budget must be one of expected, exact, got 'all'"),  # type: ignore[arg-type]
        (lambda: WordMasking(replace_per="span"), "replace_per must be one of token, word, got 'span'"),  # type: ignore[arg-type]
        (lambda: SpanMasking(length_prob=0), "length_prob must be above 0 and at most 1, got 0"),
        (lambda: SpanMasking(max_length=0), "max_length must be at least 1, got 0"),
    ],
)
def test_impossible_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
