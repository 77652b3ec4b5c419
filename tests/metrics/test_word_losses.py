"""Losses of words against sums in a loop."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from lit_mlm.metrics.word_losses import WordLosses, count_words, hash_words


def decode(ids: list[int]) -> str:
    return "".join(chr(97 + i) for i in ids)


def draw(num: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 4, num), rng.random(num) < 0.5


def list_words(ids: np.ndarray, starts: np.ndarray) -> list[str]:
    firsts = [0, *(i for i in np.flatnonzero(starts).tolist() if i)]
    ends = [*firsts[1:], len(ids)]
    return [decode(ids[first:end].tolist()) for first, end in zip(firsts, ends, strict=True)]


def test_report_equals_sums_in_a_loop() -> None:
    ids, starts = draw()
    rng = np.random.default_rng(1)
    losses = WordLosses(decode)
    expected: dict[str, list[tuple[float, int, bool]]] = defaultdict(list)
    by_place: dict[int, float] = defaultdict(float)
    words, begins = list_words(ids, starts), starts.copy()
    begins[0] = True
    word_of_token = np.cumsum(begins) - 1
    for name in ("a", "b"):
        places = np.sort(rng.permutation(len(ids))[:400])
        nats, found = rng.random(400), rng.integers(0, 4, 400)
        losses.add(ids, starts, places, nats, found, name, places % 80)
        for word in np.unique(word_of_token[places]).tolist():
            own = word_of_token[places] == word
            right = bool((found[own] == ids[places[own]]).all())
            expected[words[word]].append((float(nats[own].sum()), int(own.sum()), right))
            by_place[int(places[own][0] % 80) // 10] += float(nats[own].sum())
    counts = Counter(words)
    frequencies = count_words(ids, starts, losses.hashes, size=100)
    tags = {word: "short" for word in expected if len(word) == 1} | {"ab": "AB"}
    report = losses.report(frequencies, tags)
    total = sum(nats for rows in expected.values() for nats, _, _ in rows)
    assert report["loss"] == pytest.approx(total / 800)
    assert report["counts"]["num_tokens"] == 800
    for row in report["costliest"]:
        rows = expected[row["text"]]
        assert row["num_words"] == len(rows)
        assert row["nats_per_token"] == pytest.approx(sum(r[0] for r in rows) / sum(r[1] for r in rows))
        assert row["accuracy"] == pytest.approx(np.mean([r[2] for r in rows]))
        assert row["share_of_loss"] == pytest.approx(sum(r[0] for r in rows) / total)
        assert row["in_training"] == counts[row["text"]]
    for number, (name, row) in enumerate(report["position"].items()):
        assert name == f"{number * 10} to {number * 10 + 9}"
        assert row["nats_per_token"] * row["num_tokens"] == pytest.approx(by_place[number])
    shares = [row["share_of_loss"] for row in report["costliest"]]
    assert shares == sorted(shares, reverse=True)
    hard = [row["nats_per_token"] for row in report["hardest"]]
    assert hard == sorted(hard, reverse=True)
    assert min(row["num_words"] for row in report["hardest"]) >= 3
    assert [row["num_tokens"] for row in report["sets"].values()] == [400, 400]
    for groups in (report["frequency"], report["part_of_speech"], report["sets"]):
        assert sum(group["num_words"] for group in groups.values()) == report["counts"]["num_words"]
        assert sum(group["share_of_loss"] for group in groups.values()) == pytest.approx(1)
    assert set(report["part_of_speech"]) == {"short", "AB", "not in the file"}


def test_equal_words_have_equal_hashes_and_others_none() -> None:
    ids, starts = draw()
    starts[0] = True
    words = list_words(ids, starts)
    hashes = hash_words(ids, starts).tolist()
    assert len(set(zip(words, hashes, strict=True))) == len(set(words)) == len(set(hashes))
    shifted = hash_words(ids + 1, starts).tolist()
    assert not set(hashes) & set(shifted) or any(i > 0 for i in ids)


def test_nothing_was_masked_or_read() -> None:
    losses = WordLosses(decode)
    assert losses.report({})["hardest"] == []
    ids, starts = draw(10)
    assert count_words(ids, starts, losses.hashes) == {}
