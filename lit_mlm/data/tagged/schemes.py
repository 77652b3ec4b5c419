"""The tags of sentences, read from whichever scheme the files have and written in one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import Scheme, find_problems, find_spans, guess_scheme, is_tag, write_tags


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
