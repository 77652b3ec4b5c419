"""Tags against seqeval, conversion there and back, and decoding against all sequences there are."""

from itertools import product
from typing import get_args

import numpy as np
import pytest
from seqeval import scheme as seqeval_schemes
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import Entities

from lit_mlm.errors import InputError
from lit_mlm.text.tagging.decoding import decode_tags
from lit_mlm.text.tagging.schemes import (
    Scheme,
    Span,
    convert_tags,
    find_problem,
    find_problems,
    find_scheme,
    find_spans,
    find_spans_strict,
    guess_scheme,
    may_follow,
    split_tag,
    write_tags,
)

SCHEMES: tuple[Scheme, ...] = tuple(scheme for scheme in get_args(Scheme) if scheme != "IO")
PREFIXES = {"IOB1": "BI", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE"}
PREFIXES |= {"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}
TYPES = ("PER", "LOC", "art-work")
REFERENCES = {
    name: getattr(seqeval_schemes, {"BIOES": "IOBES", "BMES": "IOBES", "BMEWO": "IOBES"}.get(name, name))
    for name in SCHEMES
}
RENAMED = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""Prefixes that seqeval does not know, as those that it does."""


def rename(tags: list[str]) -> list[str]:
    return [RENAMED.get(tag[0], tag[0]) + tag[1:] for tag in tags]


def cut(*sentences: str) -> list[list[str]]:
    return [tags.split() for tags in sentences]


def list_labels(scheme: Scheme, types: tuple[str, ...] = TYPES) -> list[str]:
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in PREFIXES[scheme])]


def draw_sentences(labels: list[str], num: int = 3000, seed: int = 0) -> list[list[str]]:
    """Sentences of 0 to 11 words with any tag at any place; most of them are impossible."""
    rng = np.random.default_rng(seed)
    return [rng.choice(labels, rng.integers(0, 12)).tolist() for _ in range(num)]


def draw_spans(num_words: int, rng: np.random.Generator) -> list[Span]:
    spans, place = [], 0
    while place < num_words:
        length = int(rng.integers(1, 4))
        if rng.random() < 0.7 and place + length <= num_words:
            spans.append(Span(str(rng.choice(TYPES)), place, place + length))
        place += length
    return spans


def draw_right_sentences(scheme: Scheme, num: int = 500) -> list[list[str]]:
    rng = np.random.default_rng(1)
    sizes = rng.integers(0, 15, num).tolist()
    return [write_tags(draw_spans(size, rng), size, scheme) for size in sizes]


def find_reference(tags: list[str]) -> list[Span]:
    return [Span(kind, start, end + 1) for kind, start, end in get_entities(tags)]


def find_strict_reference(tags: list[str], scheme: Scheme) -> list[Span]:
    if scheme == "IOE1":  # seqeval's makes one entity of two; it is IOB1 from the right
        found = find_strict_reference([("B" if tag[0] == "E" else tag[0]) + tag[1:] for tag in reversed(tags)], "IOB1")
        return [Span(span.type, len(tags) - span.end, len(tags) - span.start) for span in reversed(found)]
    (entities,) = Entities([tags if scheme == "BILOU" else rename(tags)], REFERENCES[scheme]).entities
    return [Span(entity.tag, entity.start, entity.end) for entity in entities]


def test_tags_are_split_at_the_first_hyphen() -> None:
    assert [split_tag(tag) for tag in ("B-PER", "I-art-work", "O", "B")] == [
        *(("B", "PER"), ("I", "art-work"), ("O", ""), ("B", "")),
    ]


def test_spans_equal_seqeval_s_in_any_mixture_of_prefixes() -> None:
    labels = ["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BIES")]
    sentences = draw_sentences(labels, 5000)
    assert sum(len(find_spans(tags)) for tags in sentences) > 10_000
    for tags in sentences:
        assert find_spans(tags) == find_reference(tags)


def test_other_letters_have_the_roles_of_bioes() -> None:
    for tags in draw_sentences(["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BIESLUMW")]):
        assert find_spans(tags) == find_reference(rename(tags))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_strict_spans_equal_seqeval_s(scheme: Scheme) -> None:
    sentences = draw_sentences(list_labels(scheme), 5000)
    assert sum(find_spans(tags) != find_spans_strict(tags, scheme) for tags in sentences) > 1000
    for tags in sentences:
        assert find_spans_strict(tags, scheme) == find_strict_reference(tags, scheme), tags


@pytest.mark.parametrize("scheme", SCHEMES)
def test_strict_spans_refuse_tags_of_other_schemes(scheme: Scheme) -> None:
    for tag in ("X-PER", "B-", "O-PER", *(() if "L" in PREFIXES[scheme] else ("L-PER",))):
        with pytest.raises(InputError, match=f"{tag!r} is no tag of {scheme}"):
            find_spans_strict(["O", tag], scheme)
    with pytest.raises(InputError, match=r"scheme must be one of IOB1, IOB2, IOE1, .*, got 'IOBES'"):
        find_spans_strict(["O"], "IOBES")  # type: ignore[arg-type]


def test_untyped_entities() -> None:
    assert find_spans(["B", "I", "O", "B"]) == [Span("", 0, 2), Span("", 3, 4)]
    assert convert_tags(["B", "I", "B"], "IOB2", "BIOES") == ["B", "E", "S"]


@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SCHEMES)
def test_conversion_keeps_the_entities(source: Scheme, target: Scheme) -> None:
    for tags in draw_right_sentences(source):
        converted = convert_tags(tags, source, target)
        assert find_problem(converted, target) is None
        assert find_strict_reference(converted, target) == find_strict_reference(tags, source)
        assert convert_tags(converted, target, source) == tags


def test_conversion_by_hand() -> None:
    iob1, iob2, bioes, bilou = cut(
        "I-PER B-PER I-PER I-LOC O I-PER I-PER I-PER",
        "B-PER B-PER I-PER B-LOC O B-PER I-PER I-PER",
        "S-PER B-PER E-PER S-LOC O B-PER I-PER E-PER",
        "U-PER B-PER L-PER U-LOC O B-PER I-PER L-PER",
    )
    assert convert_tags(iob1, "IOB1", "IOB2") == iob2
    assert convert_tags(iob2, "IOB2", "BIOES") == bioes
    assert convert_tags(bioes, "BIOES", "BILOU") == bilou
    assert convert_tags(bilou, "BILOU", "IOB1") == iob1
    (ioe1, ioe2, bmes, bmewo, io) = cut(
        "E-PER I-PER I-PER I-LOC O I-PER I-PER I-PER",
        "E-PER I-PER E-PER E-LOC O I-PER I-PER E-PER",
        "S-PER B-PER E-PER S-LOC O B-PER M-PER E-PER",
        "W-PER B-PER E-PER W-LOC O B-PER M-PER E-PER",
        "PER PER PER LOC O PER PER PER",
    )
    assert convert_tags(iob1, "IOB1", "IOE1") == ioe1
    assert convert_tags(ioe1, "IOE1", "IOE2") == ioe2
    assert convert_tags(ioe2, "IOE2", "BMES") == bmes
    assert convert_tags(bmes, "BMES", "BMEWO") == bmewo
    assert convert_tags(bmewo, "BMEWO", "IO") == io  # neighbouring entities of a type merge
    assert convert_tags(io, "IO", "IOB2") == ["B-PER", "I-PER", "I-PER", "B-LOC", "O", "B-PER", "I-PER", "I-PER"]
    assert write_tags([], 2, "IOB2") == ["O", "O"]


def test_conversion_refuses_what_is_not_in_the_first_scheme() -> None:
    with pytest.raises(InputError, match="tag 'I-PER' of word 2: expected B-PER"):
        convert_tags(["O", "I-PER"], "IOB2", "IOB1")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme_of_a_corpus_is_found(scheme: Scheme) -> None:
    sentences = draw_right_sentences(scheme)
    assert find_scheme(sentences) == scheme
    rng = np.random.default_rng(2)
    for row in rng.choice(len(sentences), 20, replace=False).tolist():  # a few mistakes
        if sentences[row]:
            sentences[row][0] = str(rng.choice(["E-PER", "I-LOC", "B-LOC", "BPER", "U-PER"]))
    assert find_scheme(sentences) == scheme


def test_scheme_of_conll_2003_in_both_layouts() -> None:
    """The first two sentences in the original and in the other layout, chunks and entities."""
    assert find_scheme(cut("I-NP I-VP I-NP I-NP I-VP I-VP I-NP I-NP O", "I-NP I-NP")) == "IOB1"
    assert find_scheme(cut("I-ORG O I-MISC O O O I-MISC O O", "I-PER I-PER")) == "IOB1"
    assert find_scheme(cut("B-NP B-VP B-NP I-NP B-VP I-VP B-NP I-NP O", "B-NP I-NP")) == "IOB2"
    assert find_scheme(cut("B-ORG O B-MISC O O O B-MISC O O", "B-PER I-PER")) == "IOB2"
    assert find_scheme(cut("I-NP B-NP I-NP O")) == "IOB1"


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (cut("NNP NNP", "NNP VBZ JJ NN TO VB JJ NN . -LRB- ''"), None),  # Penn Treebank
        (cut("N V O P S L E U O ! , D A R N"), None),  # tweets: O is a pronoun, S, L, E and U are tags too
        ([], None),
        ([[]], None),
        ([["O", "O"], ["O"]], "IOB2"),
        ([["O", "B-LOC"], ["B-PER"]], "IOB2"),
        ([["O", "I-LOC"]], "IOB1"),
        ([["O", "S-LOC"]], "BIOES"),
        ([["O", "U-LOC"]], "BILOU"),
        ([["B", "I", "O", "B"]], "IOB2"),
        ([["I-LOC", "E-LOC", "O"], ["E-PER"]], "IOE2"),
        ([["I-LOC", "I-LOC", "O"], ["E-PER", "I-PER"]], "IOE1"),
        ([["B-LOC", "M-LOC", "E-LOC", "O"], ["S-PER"]], "BMES"),
        ([["B-LOC", "M-LOC", "E-LOC", "O"], ["W-PER"]], "BMEWO"),
        ([["O", "PER", "PER", "LOC"]], "IO"),
        ([["O", "O", "person-actor"]], "IO"),
        ([["PER", "LOC"]], None),
        ([["O", "NOUN", "VERB"]], None),
        ([["O", *map(str, range(200))]], None),  # words
    ],
)
def test_scheme_of_little(sentences: list[list[str]], expected: Scheme | None) -> None:
    assert find_scheme(sentences) == expected


@pytest.mark.parametrize(
    ("scheme", "tags", "index", "expected"),
    [
        ("IOB2", "O I-PER", 1, "B-PER"),
        ("IOB2", "I-PER", 0, "B-PER"),
        ("IOB2", "B-LOC I-LOC I-PER", 2, "B-PER"),
        ("IOB2", "O S-PER", 1, "O, or one of B-, I- and a type (IOB2)"),
        ("IOB2", "O B_PER I-PER", 1, "O, or one of B-, I-"),
        ("IOB2", "O b-PER", 1, "O, or one of B-, I-"),
        ("IOB2", "O o", 1, "O, or one of B-, I-"),
        ("IOB1", "O B-PER", 1, "I-PER"),
        ("IOB1", "I-LOC B-PER", 1, "I-PER"),
        ("BIOES", "O I-PER E-PER", 1, "B-PER"),
        ("BIOES", "O E-PER", 1, "S-PER"),
        ("BIOES", "B-PER O", 1, "I-PER or E-PER after B-PER"),
        ("BIOES", "B-PER E-LOC", 1, "I-PER or E-PER after B-PER"),
        ("BIOES", "B-PER I-PER S-LOC", 2, "I-PER or E-PER after I-PER"),
        ("BIOES", "O B-PER", 1, "S-PER at the end"),
        ("BIOES", "B-PER I-PER", 1, "E-PER at the end"),
        ("BILOU", "U-PER L-PER", 1, "U-PER"),
        ("BILOU", "B-PER B-PER", 1, "I-PER or L-PER after B-PER"),
        ("BILOU", "O B-PER", 1, "U-PER at the end"),
        ("BILOU", "O S-PER", 1, "O, or one of B-, I-, L-, U- and a type (BILOU)"),
        ("BMES", "B-PER O", 1, "M-PER or E-PER after B-PER"),
        ("BMEWO", "O B-PER", 1, "W-PER at the end"),
        ("IOE2", "I-PER O", 0, "E-PER before what follows (IOE2)"),
        ("IOE1", "E-PER O", 0, "I-PER before what follows (IOE1)"),
        ("IOE2", "B-PER O", 0, "O, or one of I-, E- and a type (IOE2)"),
    ],
)
def test_problem_is_named(scheme: Scheme, tags: str, index: int, expected: str) -> None:
    problem = find_problem(tags.split(), scheme)
    assert problem is not None
    assert problem[0] == index
    assert problem[1].startswith(expected)


def test_labels_without_prefixes_are_entities_of_neighbouring_words() -> None:
    tags = ["PER", "PER", "LOC", "O", "LOC", "art-work"]
    spans = [Span("PER", 0, 2), Span("LOC", 2, 3), Span("LOC", 4, 5), Span("art-work", 5, 6)]
    assert find_spans(tags, "IO") == find_spans_strict(tags, "IO") == spans
    assert write_tags(spans, 6, "IO") == tags
    assert find_problem(tags, "IO") is None
    assert find_problem(["PER", "B-PER"], "IO") == (1, "O or a type without prefix (IO)")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("O B-X I-X", "IOB2"),
        ("O I-X E-X", "IOE2"),
        ("O B-X I-X E-X S-X", "BIOES"),
        ("O B-X I-X L-X U-X", "BILOU"),
        ("O B-X M-X E-X S-X", "BMES"),
        ("O B-X M-X E-X W-X", "BMEWO"),
        ("O PER LOC", "IO"),
        ("NN VB O", None),
        ("N V O , !", None),
        ("PER LOC", None),
        ("", None),
    ],
)
def test_scheme_of_a_label_set(labels: str, expected: Scheme | None) -> None:
    assert guess_scheme(labels.split()) == expected


def test_problems_are_named_in_their_order() -> None:
    problems = list(find_problems(["I-LOC", "B_PER", "I-PER", "I-LOC"], "IOB2"))
    assert [(i, text.split(", ")[0]) for i, text in problems] == [(0, "B-LOC"), (1, "O"), (3, "B-LOC")]
    assert [i for i, _ in find_problems(["O", "B-PER", "B-PER"], "BIOES")] == [2]  # once, though it ends there, too


def test_problem_of_plain_tags() -> None:
    assert find_problem(["NN", "B-PER", "."], None) is None
    assert find_problem(["NN", ""], None) == (1, "a tag")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_there_is_no_problem_just_where_tags_say_what_they_would_be_written_as(scheme: Scheme) -> None:
    """What the entities by seqeval's default would be written as is the only right way to write them."""
    num_right = 0
    for size in range(5):
        for tags in map(list, product(list_labels(scheme, ("X", "Y")), repeat=size)):
            is_right = write_tags(find_reference(rename(tags)), size, scheme) == tags
            assert (find_problem(tags, scheme) is None) == is_right, tags
            num_right += is_right
            if is_right:
                assert find_spans(tags) == find_spans_strict(tags, scheme)
    assert num_right > 50


def is_right(labels: list[str], scheme: Scheme, ids: tuple[int, ...]) -> bool:
    """By seqeval alone: writing down what it finds gives the same tags."""
    tags = [labels[i] for i in ids]
    return write_tags(find_reference(rename(tags)), len(tags), scheme) == tags


@pytest.mark.parametrize("scheme", SCHEMES)
def test_decoding_finds_the_best_of_all_right_sequences(scheme: Scheme) -> None:
    rng = np.random.default_rng(3)
    labels = rng.permutation(list_labels(scheme, ("X", "Y"))).tolist()
    for num_words in range(5):
        right = [ids for ids in product(range(len(labels)), repeat=num_words) if is_right(labels, scheme, ids)]
        num_changed = 0
        for _ in range(10):
            scores = np.log(rng.dirichlet(np.ones(len(labels)), num_words)).reshape(num_words, len(labels))
            best = max(right, key=lambda ids: sum(float(scores[i, label]) for i, label in enumerate(ids)))
            decoded = decode_tags(scores, labels, scheme)
            assert decoded.dtype == np.int64
            assert decoded.tolist() == list(best)
            num_changed += decoded.tolist() != scores.argmax(axis=-1).tolist()
        assert num_changed > 0 or num_words < 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_decoded_tags_mean_the_same_to_both_definitions(scheme: Scheme) -> None:
    rng = np.random.default_rng(4)
    labels = list_labels(scheme)
    for _ in range(300):
        scores = rng.normal(size=(int(rng.integers(0, 30)), len(labels))).astype(np.float32)
        tags = [labels[i] for i in decode_tags(scores, labels, scheme)]
        assert find_problem(tags, scheme) is None
        assert find_strict_reference(tags, scheme) == find_spans(tags) == find_spans_strict(tags, scheme)


def test_decoding_leaves_right_tags_alone() -> None:
    labels = list_labels("IOB2")
    for tags in draw_right_sentences("IOB2"):
        ids = np.array([labels.index(tag) for tag in tags], dtype=np.int64)
        scores = np.eye(len(labels))[ids]
        assert decode_tags(scores, labels, "IOB2").tolist() == ids.tolist()


def test_plain_tags_are_decoded_by_themselves() -> None:
    scores = np.random.default_rng(5).normal(size=(9, 4))
    assert decode_tags(scores, ["NN", "VB", "I-X", "."], None).tolist() == scores.argmax(axis=1).tolist()


def test_minus_infinity_is_still_better_than_an_impossible_tag() -> None:
    scores = np.full((3, 3), -np.inf)
    scores[:, 2] = 0
    labels = ["O", "B-PER", "I-PER"]
    assert decode_tags(scores, labels, "IOB2").tolist() == [1, 2, 2]


def test_decoding_refuses_labels_that_allow_nothing() -> None:
    with pytest.raises(InputError, match="'S-PER' is no tag of IOB2"):
        decode_tags(np.zeros((2, 2)), ["O", "S-PER"], "IOB2")
    with pytest.raises(InputError, match="allow no 1 tags in a row in BIOES"):
        decode_tags(np.zeros((1, 2)), ["B-PER", "E-PER"], "BIOES")


def test_what_may_follow() -> None:
    assert may_follow("B-art-work", "I-art-work", "IOB2")
    assert not may_follow("B-art", "I-art-work", "IOB2")
    assert not may_follow("O", "misspelt", "IOB2")
    assert may_follow("misspelt", "I-PER", "IOB2")
