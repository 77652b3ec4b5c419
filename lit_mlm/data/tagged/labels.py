"""The label set of a corpus in a fixed order, and the label ids of its tags."""

from collections import Counter
from collections.abc import Iterable, Sequence

from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import MAX_PLAIN_TYPES, Scheme, list_tags, split_tag

FIRST_TYPES = ("PER", "ORG", "LOC", "MISC")
"""Entity types that come first, in the order published with CoNLL-2003."""

LEAST_WORDS = 20
"""Fewer different tags may be words without being told, as in a small sample."""


def find_labels(sentences: Iterable[TaggedSentence], scheme: Scheme | None) -> list[str]:
    """The label set of a corpus, in a fixed order.

    >>> sentences = [TaggedSentence(["in", "Ulm"], ["O", "B-LOC"], "a.txt"), TaggedSentence(["Oh"], ["B-X"], "a.txt")]
    >>> find_labels(sentences, "IOB2")
    ['O', 'B-LOC', 'I-LOC', 'B-X', 'I-X']

    Args:
        sentences: with tags in `scheme`.
        scheme: None for plain tags.

    Returns:
        Plain tags, sorted; or ``O``, then all tags of the scheme by type, even those without an example: a word's later
        tokens need I, and a decoder needs the others. `FIRST_TYPES` come first, other types are sorted.
    """
    tags = {tag for sentence in sentences for tag in sentence.tags}
    if scheme is None:
        return sorted(tags)
    types = {split_tag(tag, scheme)[1] for tag in tags - {"O"}}
    ordered = [kind for kind in FIRST_TYPES if kind in types] + sorted(types - {*FIRST_TYPES})
    return ["O", *(label for kind in ordered for label in list_tags(kind, scheme))]


def number_tags(sentences: Iterable[TaggedSentence], labels: Sequence[str], name: str) -> list[int]:
    """The label ids of all words.

    Args:
        sentences: of a split.
        labels: names, by id.
        name: owner of the labels, for the message about an unknown tag.
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


def find_doubts(labels: Sequence[str], sentences: Sequence[TaggedSentence], scheme: Scheme | None) -> str | None:
    """Why a label set may be that of a wrong column; None if it looks right.

    >>> find_doubts(["O"], [TaggedSentence(["1", "2"], ["O", "O"], "a.txt")], "IOB2")
    "all 2 words have the tag 'O', so there is nothing to learn"

    Args:
        labels: of the data.
        sentences: of the training split, in `scheme`.
        scheme: None for plain tags.
    """
    tags = Counter(tag for sentence in sentences for tag in sentence.tags)
    if len(tags) == 1:
        return f"all {tags.total():,} words have the tag {next(iter(tags))!r}, so there is nothing to learn"
    kinds = {split_tag(label, scheme)[1] if scheme else label for label in labels} - {"O", ""}
    words = [kind for kind in sorted(kinds) if kind.isalpha() and not kind.isupper()]
    if len(kinds) > min(MAX_PLAIN_TYPES, tags.total() / 4) and 2 * len(words) > len(kinds) > LEAST_WORDS:
        return f"there are {len(kinds)} different tags that look like words, such as {', '.join(words[:3])}"
    return None
