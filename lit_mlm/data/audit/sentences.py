"""Audits tagged sentences."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.audit.documents import list_duplicates, measure_tokens
from lit_mlm.data.audit.duplicates import DuplicateFinder
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.data.tokens.vocabulary import Fertility
from lit_mlm.text.tagging.alignment import encode_words
from lit_mlm.text.tagging.schemes import Scheme, Span, find_problems, find_spans, is_tag

Splits = Mapping[str, Sequence[TaggedSentence]]


def audit_sentences(
    splits: Splits,
    tokenizer: PreTrainedTokenizerBase,
    find_scheme: Callable[[Collection[TaggedSentence]], Scheme | None],
    limit: int | None,
    near_threshold: float,
    num_examples: int,
) -> dict[str, Any]:
    """Counts sentences, words, tokens, tags and entities, and finds contradictions and duplicates.

    Args:
        splits: sentences by split, with the tags of the files.
        tokenizer: fast or slow.
        find_scheme: finds the tagging scheme.
        limit: maximum tokens per window, special tokens included.
        near_threshold: as in `audit`.
        num_examples: as in `audit`.

    Returns:
        ``scheme``, ``splits``, ``duplicates``, ``inconsistent_entities`` and ``inconsistent_sentences`` of the report.
    """
    scheme = find_scheme(splits.get("train") or list(chain(*splits.values())))
    # `encode_words` and the finder need at least one word.
    indices = {split: [i for i, s in enumerate(sentences) if s.words] for split, sentences in splits.items()}
    full = {split: [sentences[i] for i in indices[split]] for split, sentences in splits.items()}
    finder = DuplicateFinder(near_threshold)
    for split, sentences in full.items():
        finder.add(split, [" ".join(sentence.words) for sentence in sentences])
    metrics = {}
    for split, sentences in full.items():
        metrics[split] = {"num_sentences": len(splits[split]), "num_empty": len(splits[split]) - len(sentences)}
        metrics[split] |= _measure_tokens(sentences, tokenizer, limit, num_examples)
        metrics[split] |= _count_tags(sentences, scheme, num_examples)
        if split != "train" and "train" in full:
            metrics[split] |= _count_unseen(sentences, full["train"], scheme, num_examples)
    non_empty = list(chain(*full.values()))
    return {
        "scheme": scheme,
        "splits": metrics,
        "duplicates": list_duplicates(
            finder,
            lambda split, index: " ".join(full[split][index].words),
            lambda split, index: _get_place(full[split][index]),
            num_examples,
            indices,
        ),
        "inconsistent_entities": None
        if scheme is None
        else _find_inconsistent_entities(non_empty, scheme, num_examples),
        "inconsistent_sentences": _find_inconsistent_sentences(non_empty, num_examples),
    }


def _get_place(sentence: TaggedSentence) -> str:
    return sentence.place if sentence.first_line is None else f"{sentence.place}, line {sentence.first_line}"


def _measure_tokens(
    sentences: Sequence[TaggedSentence], tokenizer: PreTrainedTokenizerBase, limit: int | None, num_examples: int
) -> dict[str, Any]:
    encoded = encode_words(tokenizer, [sentence.words for sentence in sentences], sys.maxsize)
    lengths = np.array([len(tokens.ids) for tokens in encoded], dtype=np.int64)
    num_words = num_split = num_unknown = 0
    unknown_words: Counter[str] = Counter()
    for sentence, tokens in zip(sentences, encoded, strict=True):
        num_words += len(sentence.words)
        num_split += int((np.bincount(tokens.word_of_token) > 1).sum())
        if tokenizer.unk_token_id is not None:
            places = tokens.word_of_token[tokens.ids == tokenizer.unk_token_id]
            num_unknown += len(places)
            unknown_words.update(sentence.words[i] for i in np.unique(places).tolist())
    words = Fertility(num_words, int(lengths.sum()), num_split, num_unknown, unknown_words)
    return measure_tokens(lengths, words, tokenizer, limit, num_examples)


def _count_tags(sentences: Sequence[TaggedSentence], scheme: Scheme | None, num_examples: int) -> dict[str, Any]:
    """Counts tags, entities by type, and wrong tags (misspelt or out of place)."""
    tags = Counter(tag for sentence in sentences for tag in sentence.tags)
    problems = [(s, i, expected) for s in sentences for i, expected in find_problems(s.tags, scheme)]
    wrong = {
        "num": len(problems),
        "num_misspelt": sum(not is_tag(s.tags[i], scheme) for s, i, _ in problems),
        "examples": [f"{s.locate(i)}: tag {s.tags[i]!r}, expected {text}" for s, i, text in problems[:num_examples]],
    }
    entities = None
    if scheme is not None:
        entities = _sort_counts(
            Counter(span.type for sentence in sentences for span in find_spans(sentence.tags, scheme))
        )
    return {"tags": _sort_counts(tags), "entities": entities, "wrong_tags": wrong}


def _count_unseen(
    sentences: Sequence[TaggedSentence], train: Sequence[TaggedSentence], scheme: Scheme | None, num_examples: int
) -> dict[str, Any]:
    """Counts words and tags that the training split lacks, and entities by what it has of them."""
    known_words = {word for sentence in train for word in sentence.words}
    known_tags = {tag for sentence in train for tag in sentence.tags}
    words = Counter(word for sentence in sentences for word in sentence.words)
    unseen = Counter({word: num for word, num in words.items() if word not in known_words})
    tags = Counter(tag for sentence in sentences for tag in sentence.tags if tag not in known_tags)
    common = list(_sort_counts(unseen).items())[:num_examples]
    return {
        "num_unseen_words": unseen.total(),
        "unseen_word_fraction": unseen.total() / max(1, words.total()),
        "unseen_words": [{"word": word, "num": num} for word, num in common],
        "unseen_tags": _sort_counts(tags),
        "entities_in_train": None if scheme is None else _count_seen(sentences, train, scheme),
    }


def _count_seen(sentences: Sequence[TaggedSentence], train: Sequence[TaggedSentence], scheme: Scheme) -> dict[str, int]:
    """Counts entities that the training split has with the same type, with another type only, or not at all."""
    known: dict[tuple[str, ...], set[str]] = {}
    for words, span in _iterate_entities(train, scheme):
        known.setdefault(words, set()).add(span.type)
    counts = {"seen": 0, "seen_as_other_type": 0, "unseen": 0}
    for words, span in _iterate_entities(sentences, scheme):
        types = known.get(words, ())
        counts["seen" if span.type in types else "seen_as_other_type" if types else "unseen"] += 1
    return counts


def _iterate_entities(sentences: Iterable[TaggedSentence], scheme: Scheme) -> Iterator[tuple[tuple[str, ...], Span]]:
    for sentence in sentences:
        for span in find_spans(sentence.tags, scheme):
            yield tuple(sentence.words[span.start : span.end]), span


def _find_inconsistent_entities(
    sentences: Iterable[TaggedSentence], scheme: Scheme, num_examples: int
) -> dict[str, Any]:
    """Finds entities with several types across all splits, sorted by the number of minority occurrences."""
    types: dict[str, Counter[str]] = {}
    for words, span in _iterate_entities(sentences, scheme):
        types.setdefault(" ".join(words), Counter())[span.type] += 1
    found = [(surface, counts) for surface, counts in types.items() if len(counts) > 1]
    found.sort(key=lambda item: (max(item[1].values()) - item[1].total(), item[0]))
    examples = [{"surface": surface, "types": _sort_counts(counts)} for surface, counts in found[:num_examples]]
    return {"num": len(found), "examples": examples}


def _find_inconsistent_sentences(sentences: Iterable[TaggedSentence], num_examples: int) -> dict[str, Any]:
    """Finds sentences that repeat the words of an earlier one, in any split, with different tags."""
    firsts: dict[tuple[str, ...], TaggedSentence] = {}
    found = []
    for sentence in sentences:
        first = firsts.setdefault(tuple(sentence.words), sentence)
        if list(first.tags) != list(sentence.tags):
            found.append({"first": _get_place(first), "second": _get_place(sentence)})
    return {"num": len(found), "examples": found[:num_examples]}


def _sort_counts(counts: Counter[str]) -> dict[str, int]:
    """Sorts by descending count, then alphabetically."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
