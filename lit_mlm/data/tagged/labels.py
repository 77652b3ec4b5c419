"""The label set of a corpus in a fixed order, and the label ids of its tags."""

from collections.abc import Iterable, Sequence

from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import Scheme, split_tag

FIRST_TYPES = ("PER", "ORG", "LOC", "MISC")
"""Entity types that come first, in the order published with CoNLL-2003."""


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
    types = {split_tag(tag)[1] for tag in tags - {"O"}}
    ordered = [kind for kind in FIRST_TYPES if kind in types] + sorted(types - {*FIRST_TYPES})
    prefixes = "BI" if scheme in ("IOB1", "IOB2") else scheme.replace("O", "")
    return ["O", *(f"{prefix}-{kind}" if kind else prefix for kind in ordered for prefix in prefixes)]


def require_same_labels(ours: Sequence[str], given: Sequence[str]) -> None:
    """Rejects given labels that differ from the model's in more than order."""
    if set(ours) != set(given):
        differing = [label for label in (*ours, *given) if (label in ours) != (label in given)]
        raise InputError(
            f"the model has the labels {', '.join(ours)}, but data.labels are {', '.join(given)}; they differ in "
            f"{', '.join(differing)}"
        )


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
