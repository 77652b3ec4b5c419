"""Pairs of entities and their kinds, against nervaluate, seqscore and the metrics of a run."""

import numpy as np
import pytest

from lit_mlm.metrics.entities import EntityMetrics
from lit_mlm.metrics.entity_errors import (
    KINDS,
    ScoredSentence,
    compute_matchings,
    count_kinds,
    list_entities,
    pair_spans,
)
from lit_mlm.text.tagging.schemes import Scheme, Span, write_tags
from tests.text.tagging.test_schemes import TYPES, draw_sentences, draw_spans, list_labels


def make_sentence(gold: list[str], found: list[str], scheme: Scheme | None = "IOB2", index: int = 0) -> ScoredSentence:
    words = [f"w{i}" for i in range(len(gold))]
    return ScoredSentence(words, gold, found, [0.5] * len(gold), scheme, index)


def draw_pairs(num: int = 2000, seed: int = 0) -> list[ScoredSentence]:
    """Sentences of 0 to 14 words, with entities that often overlap."""
    rng = np.random.default_rng(seed)
    sentences = []
    for i, size in enumerate(rng.integers(0, 15, num).tolist()):
        gold, found = (write_tags(draw_spans(size, rng), size, "IOB2") for _ in range(2))
        sentences.append(make_sentence(gold, found, index=i))
    return sentences


def test_figures_equal_nervaluate_s() -> None:
    nervaluate = pytest.importorskip("nervaluate")
    sentences = draw_pairs()
    spans = [
        [
            [{"label": span.type, "start": span.start, "end": span.end - 1} for span in list_entities(tags, "IOB2")]
            for tags in side
        ]
        for side in ([s.gold for s in sentences], [s.found for s in sentences])
    ]
    reference = nervaluate.Evaluator(*spans, tags=list(TYPES), loader="dict").evaluate()["overall"]
    ours = compute_matchings(sentences)
    for name, theirs in (("strict", "strict"), ("exact", "exact"), ("partial", "partial"), ("type", "ent_type")):
        assert ours[name] == pytest.approx({key: getattr(reference[theirs], key) for key in ours[name]}, abs=1e-12)
    assert len({figures["f1"] for figures in ours.values()}) == 4


def test_counts_are_those_of_the_metrics_and_of_seqscore_in_any_mixture_of_tags() -> None:
    scoring = pytest.importorskip("seqscore.scoring")
    labels = list_labels("IOB2")
    gold, found = draw_sentences(labels, 1000, 1), draw_sentences(labels, 1000, 1)
    rng = np.random.default_rng(2)
    found = [[tag if rng.random() < 0.7 else str(rng.choice(labels)) for tag in tags] for tags in found]
    sentences = [make_sentence(*tags) for tags in zip(gold, found, strict=True)]
    kinds = count_kinds(sentences)
    metrics = EntityMetrics(labels, "IOB2")
    predicted, right = ([np.array([labels.index(t) for t in s], np.int64) for s in tags] for tags in (found, gold))
    metrics.update(predicted, right)
    values = metrics.compute()
    assert sum(kinds.values()) - kinds["spurious"] == values["num_gold_entities"]
    assert sum(kinds.values()) - kinds["missed"] == values["num_predicted_entities"]
    assert compute_matchings(sentences)["strict"]["f1"] == pytest.approx(values["f1"], abs=1e-12)
    reference, _ = scoring.score_label_sequences(found, gold, "BIO", repair="conlleval")
    assert (reference.true_pos, reference.true_pos + reference.false_neg) == (
        kinds["correct"],
        values["num_gold_entities"],
    )
    assert min(kinds.values()) > 50


def test_each_kind() -> None:
    gold = [Span("PER", 0, 1), Span("LOC", 1, 3), Span("ORG", 4, 6), Span("ORG", 7, 9), Span("LOC", 10, 11)]
    found = [Span("PER", 0, 1), Span("ORG", 1, 3), Span("ORG", 5, 6), Span("LOC", 8, 10), Span("PER", 12, 13)]
    assert [pair.kind for pair in pair_spans(gold, found)] == list(KINDS)


def test_plain_tags_are_entities_of_one_word() -> None:
    sentence = make_sentence(["DET", "NOUN", "O"], ["DET", "VERB", "O"], None)
    assert [pair.kind for pair in sentence.pairs] == ["correct", "wrong_type", "correct"]
    assert compute_matchings([sentence])["strict"]["f1"] == pytest.approx(2 / 3)


def test_of_two_that_overlap_the_first_is_taken_but_by_type_the_right_one() -> None:
    gold = [Span("PER", 0, 2), Span("LOC", 2, 4)]
    found = [Span("LOC", 1, 4)]
    assert [pair.kind for pair in pair_spans(gold, found)] == ["wrong_both", "missed"]
    assert [pair.kind for pair in pair_spans(gold, found, by_type=True)] == ["missed", "wrong_boundary"]


def test_nothing_is_zero() -> None:
    assert compute_matchings([])["strict"]["f1"] == 0
    assert set(count_kinds([make_sentence(["O"], ["O"]), make_sentence([], [])]).values()) == {0}
