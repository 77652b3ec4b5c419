"""Converts the tags of sentences between schemes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from lit_mlm.data.reading.files import SKIP_ADVICE, BadRecordError
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import (
    Scheme,
    find_problems,
    find_scheme,
    find_spans,
    guess_scheme,
    is_tag,
    write_tags,
)
from lit_mlm.text.tagging.spelling import find_respelling


class Converted(NamedTuple):
    """Sentences in one scheme, and messages about tags that broke the scheme of the files."""

    sentences: list[TaggedSentence]
    misplaced: list[str]


def respell_sentences(splits: Mapping[str, list[TaggedSentence]]) -> dict[str, list[TaggedSentence]]:
    """Respells tags such as ``b-per`` and ``B_PER``, by the training split, or else by all splits."""
    known = splits.get("train") or list(chain(*splits.values()))
    respell = find_respelling([sentence.tags for sentence in known])
    if respell is None:
        return dict(splits)
    respelled = {}
    for split, sentences in splits.items():
        pairs = [(sentence, respell(sentence.tags)) for sentence in sentences]
        respelled[split] = [s if list(s.tags) == tags else replace(s, tags=tags) for s, tags in pairs]
    return respelled


def find_bad_tag(sentence: TaggedSentence, source: Scheme | None, strict: bool = False) -> BadRecordError | None:
    """The first tag of a sentence that is rejected: misspelt, or out of place if `strict`; None if there is none."""
    for i, expected in find_problems(sentence.tags, source):
        found = f"{sentence.locate(i)}: tag {sentence.tags[i]!r}, expected {expected}"
        if not is_tag(sentence.tags[i], source):
            return BadRecordError(f"{found}; {SKIP_ADVICE}")
        if strict:
            return BadRecordError(f"{found}; data.strict_tags false reads it as in conlleval")
    return None


def convert_sentences(
    sentences: Iterable[TaggedSentence], source: Scheme | None, target: Scheme | None, strict: bool = False
) -> Converted:
    """Converts sentences to another scheme and checks their tags.

    Tags that break their scheme, as in some published corpora, are read as in conlleval (`find_spans`).

    Args:
        sentences: of a split.
        source: scheme of their tags; None for plain tags, which stay unchanged.
        target: scheme of the result; None for plain tags.
        strict: rejects tags that break their scheme; misspelt ones are always rejected.
    """
    converted, misplaced = [], []
    for sentence in sentences:
        bad = find_bad_tag(sentence, source, strict)
        if bad is not None:
            raise bad
        problems = list(find_problems(sentence.tags, source))
        misplaced += [f"{sentence.locate(i)}: tag {sentence.tags[i]!r}, expected {text}" for i, text in problems]
        if target is not None and (problems or source != target):
            tags = write_tags(find_spans(sentence.tags, source), len(sentence.tags), target)
            sentence = replace(sentence, tags=tags)
        converted.append(sentence)
    return Converted(converted, misplaced)


def choose_scheme(source: Scheme | None, typed: Scheme | None, known: Sequence[str]) -> Scheme | None:
    """The scheme that tags are converted to.

    Args:
        source: of the files; None for plain tags, which stay unchanged.
        typed: the option ``data.scheme``.
        known: labels of the options or the model, whose scheme is the default.
    """
    if source is None and typed is not None:
        raise InputError(f"data.scheme {typed} has no effect: the tags are plain, none starts with B- or I-")
    default: Scheme = "IO" if source == "IO" else "IOB2"
    return None if source is None else typed or guess_scheme(known) or default


def blank_tags(sentences: Sequence[TaggedSentence], labels: Sequence[str]) -> list[TaggedSentence]:
    """Replaces tags of sentences to predict by one label: ``O``, or the first label if there is no ``O``.

    If all tags are labels, perhaps in another scheme, they are kept as ``gold``.

    >>> (sentence,) = blank_tags([TaggedSentence(["Ulm"], ["I-LOC"], "a.txt")], ["O", "B-LOC", "I-LOC"])
    >>> sentence.tags, sentence.gold
    (['O'], ['B-LOC'])
    """
    blank, gold = "O" if "O" in labels else labels[0], find_gold(sentences, labels)
    blanked = [replace(sentence, tags=[blank] * len(sentence.words)) for sentence in sentences]
    return blanked if gold is None else [replace(s, gold=tags) for s, tags in zip(blanked, gold, strict=True)]


def find_gold(sentences: Sequence[TaggedSentence], labels: Sequence[str]) -> list[Sequence[str]] | None:
    """The tags of sentences in the scheme of labels; None if one of them is no label."""
    scheme = guess_scheme(labels)
    source = find_scheme(sentence.tags for sentence in sentences) if scheme else None
    if (source is None) != (scheme is None):
        return None
    try:
        tags = [sentence.tags for sentence in convert_sentences(sentences, source, scheme).sentences]
    except InputError:
        return None
    return tags if set(chain.from_iterable(tags)) <= set(labels) else None
