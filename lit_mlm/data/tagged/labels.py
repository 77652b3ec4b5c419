"""The label set of a corpus, in a fixed order, and the numbers of its tags."""

from collections.abc import Iterable, Sequence

from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import Scheme, split_tag

FIRST_TYPES = ("PER", "ORG", "LOC", "MISC")
"""The types that come first, in the order that CoNLL-2003 is published with."""


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
