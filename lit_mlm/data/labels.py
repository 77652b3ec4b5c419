"""From the tags of sentences to labels: checked, in one scheme, in a fixed order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lit_mlm.data.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging import Scheme, find_problems, find_spans, guess_scheme, is_tag, split_tag, write_tags

FIRST_TYPES = ("PER", "ORG", "LOC", "MISC")
"""The types that come first, in the order that CoNLL-2003 is published with."""


class Converted(NamedTuple):
    """Sentences in one scheme, and the tags of theirs that could not stand where they stood, each with its place."""

    sentences: list[TaggedSentence]
    misplaced: list[str]


def convert_sentences(
    sentences: Iterable[TaggedSentence], source: Scheme | None, target: Scheme | None, strict: bool = False
) -> Converted:
    """The same sentences with tags of another scheme, after a check of each tag.

    Tags are read as conlleval reads them (`find_spans`): published corpora have a few that can't stand where they
    stand. What is written is right.

    Args:
        sentences: of a split.
        source: the scheme of their tags; None for plain ones, which stay as they are.
        target: that of the result; None for plain ones.
        strict: refuses what can't stand where it stands.

    Raises:
        InputError: at the first tag that is misspelt, or that is refused.
    """
    converted, misplaced = [], []
    for sentence in sentences:
        problems = list(find_problems(sentence.tags, source))
        for i, expected in problems:
            found = f"{sentence.locate(i)}: tag {sentence.tags[i]!r}, expected {expected}"
            if not is_tag(sentence.tags[i], source):
                raise InputError(found)
            if strict:
                raise InputError(f"{found}; data.strict_tags false reads it as conlleval does")
            misplaced.append(found)
        if target is not None and (problems or source != target):
            tags = write_tags(find_spans(sentence.tags), len(sentence.tags), target)
            sentence = replace(sentence, tags=tags)
        converted.append(sentence)
    return Converted(converted, misplaced)


def choose_scheme(source: Scheme | None, typed: Scheme | None, known: Sequence[str]) -> Scheme | None:
    """The scheme that tags are converted to.

    Args:
        source: the one that they are in; None for plain ones, which stay as they are.
        typed: the option ``data.scheme``.
        known: labels that are given or the model's, whose scheme is taken where none is typed.

    Raises:
        InputError: if a scheme is typed for plain tags.
    """
    if source is None and typed is not None:
        raise InputError(f"data.scheme {typed} has no effect: the tags are plain, and none opens with B- or I-")
    return None if source is None else typed or guess_scheme(known)


def blank_tags(sentences: Iterable[TaggedSentence], labels: Sequence[str]) -> list[TaggedSentence]:
    """The same sentences with one label, ``O`` if there is such, at each word: nothing is known of them."""
    blank = "O" if "O" in labels else labels[0]
    return [replace(sentence, tags=[blank] * len(sentence.words)) for sentence in sentences]


def find_labels(sentences: Iterable[TaggedSentence], scheme: Scheme | None) -> list[str]:
    """The label set of a corpus.

    Args:
        sentences: their tags are of `scheme`.
        scheme: None for plain tags.

    Returns:
        Plain tags are sorted. Of a scheme ``O`` comes first, then, type by type, every tag that the scheme has for it,
        B before I, though none of the sentences may hold it: the later pieces of a word need I, and a decoder the rest.
        `FIRST_TYPES` come first, others are sorted.
    """
    tags = {tag for sentence in sentences for tag in sentence.tags}
    if scheme is None:
        return sorted(tags)
    types = {split_tag(tag)[1] for tag in tags - {"O"}}
    ordered = [kind for kind in FIRST_TYPES if kind in types] + sorted(types - {*FIRST_TYPES})
    prefixes = "BI" if scheme in ("IOB1", "IOB2") else scheme.replace("O", "")
    return ["O", *(f"{prefix}-{kind}" if kind else prefix for kind in ordered for prefix in prefixes)]


def require_same_labels(ours: Sequence[str], given: Sequence[str]) -> None:
    """Refuses labels that are given and differ from those of the model in more than order.

    Raises:
        InputError: with both.
    """
    if set(ours) != set(given):
        differing = [label for label in (*ours, *given) if (label in ours) != (label in given)]
        raise InputError(
            f"the model was made for the labels {', '.join(ours)}, but data.labels are {', '.join(given)}; they differ "
            f"in {', '.join(differing)}"
        )


def number_tags(sentences: Iterable[TaggedSentence], labels: Sequence[str], name: str) -> list[int]:
    """The label ids of all words.

    Args:
        sentences: of a split.
        labels: names, by id.
        name: whose labels these are, for the message.

    Raises:
        InputError: at the first tag that is no label.
    """
    ids = {label: i for i, label in enumerate(labels)}
    numbers = []
    for sentence in sentences:
        for i, tag in enumerate(sentence.tags):
            if tag not in ids:
                known = ", ".join(labels)
                raise InputError(f"{sentence.locate(i)}: tag {tag!r} is not among the labels of {name}: {known}")
            numbers.append(ids[tag])
    return numbers
