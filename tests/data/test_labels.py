"""Label sets, and tags that are no labels."""

import pytest

from lit_mlm.data.labels import convert_sentences, find_labels, number_tags, require_same_labels
from lit_mlm.data.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging import Scheme, find_problem, guess_scheme


def make(*tags: str, line: int | None = 5) -> TaggedSentence:
    return TaggedSentence([f"w{i}" for i in range(len(tags))], tags, "some.txt", line)


def test_order_of_conll() -> None:
    sentences = [make("B-MISC", "B-LOC", "I-LOC"), make("O", "B-PER", "B-ORG")]
    expected = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    assert find_labels(sentences, "IOB2") == find_labels(sentences[::-1], "IOB2") == expected


def test_order_of_others() -> None:
    assert find_labels([make("B-NP", "B-ADVP", "B-LOC")], "IOB2")[1::2] == ["B-LOC", "B-ADVP", "B-NP"]
    assert find_labels([make("S-NP")], "BIOES") == ["O", "B-NP", "I-NP", "E-NP", "S-NP"]
    assert find_labels([make("U-NP")], "BILOU") == ["O", "B-NP", "I-NP", "L-NP", "U-NP"]
    assert find_labels([make("B", "I")], "IOB2") == ["O", "B", "I"]
    assert find_labels([make("VB", "NN", "O", ".")], None) == [".", "NN", "O", "VB"]


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        ("IOB1", ("I-PER", "I-PER", "B-PER", "O")),
        ("BIOES", ("B-PER", "E-PER", "S-PER", "O")),
        ("BILOU", ("B-PER", "L-PER", "U-PER", "O")),
    ],
)
def test_all_schemes_become_the_same_tags(source: Scheme, tags: tuple[str, ...]) -> None:
    (sentence,) = convert_sentences([make(*tags)], source, "IOB2").sentences
    assert list(sentence.tags) == ["B-PER", "I-PER", "B-PER", "O"]
    assert (sentence.words, sentence.place, sentence.first_line) == (["w0", "w1", "w2", "w3"], "some.txt", 5)
    assert list(convert_sentences([sentence], "IOB2", source).sentences[0].tags) == list(tags)


def test_plain_tags_stay() -> None:
    assert convert_sentences([make("B-X", "NN")], None, None).sentences == [make("B-X", "NN")]


@pytest.mark.parametrize(
    ("source", "tags", "expected", "num", "first"),
    [
        ("IOB1", "O B-PER I-PER I-LOC B-LOC", "O B-PER I-PER B-LOC B-LOC", 1, "6 ('w1'): tag 'B-PER', expected I-"),
        ("IOB2", "I-PER I-PER O B-PER I-LOC", "B-PER I-PER O B-PER B-LOC", 2, "5 ('w0'): tag 'I-PER', expected B-"),
        ("BIOES", "S-PER I-PER O O B-PER", "B-PER B-PER O O B-PER", 3, "6 ('w1'): tag 'I-PER', expected B-PER"),
        ("BILOU", "B-PER U-LOC L-LOC O O", "B-PER B-LOC B-LOC O O", 2, "6 ('w1'): tag 'U-LOC', expected I-PER or"),
    ],
)
def test_tags_out_of_place_are_read_as_conlleval_reads_them(
    source: Scheme, tags: str, expected: str, num: int, first: str
) -> None:
    for target in ("IOB2", source):
        (_, sentence), misplaced = convert_sentences([make("O"), make(*tags.split())], source, target)
        assert find_problem(sentence.tags, target) is None
        assert " ".join(convert_sentences([sentence], target, "IOB2").sentences[0].tags) == expected
        assert len(misplaced) == num
        assert misplaced[0].startswith(f"some.txt, line {first}")


@pytest.mark.parametrize(
    ("scheme", "tags", "message"),
    [
        ("IOB2", ("O", "I-PER"), r"some.txt, line 6 \('w1'\): tag 'I-PER', expected B-PER, as no entity .* \(IOB2\)"),
        ("IOB2", ("O", "O", "b-PER"), r"some.txt, line 7 \('w2'\): tag 'b-PER', expected O, or one of B-, I-"),
        ("BIOES", ("B-PER",), r"line 5 \('w0'\): tag 'B-PER', expected S-PER at the end of a sentence"),
        (None, ("NN", " "), r"line 6 \('w1'\): tag ' ', expected a tag"),
    ],
)
def test_impossible_tags_are_located(scheme: Scheme | None, tags: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert_sentences([make("O" if scheme else "NN"), make(*tags)], scheme, None, strict=True)


@pytest.mark.parametrize("tag", ["X-PER", "BPER", "S-PER", ""])
def test_misspelt_tags_are_always_refused(tag: str) -> None:
    with pytest.raises(InputError, match=rf"line 6 \('w1'\): tag '{tag}', expected O, or one of B-, I- and a type"):
        convert_sentences([make("I-PER", tag)], "IOB2", "IOB2")


def test_numbers_go_by_name() -> None:
    assert number_tags([make("O", "B-X"), make("I-X")], ["I-X", "O", "B-X"], "m") == [1, 2, 0]
    with pytest.raises(InputError, match=r"line 6 \('w1'\): tag 'B-Y' is not among the labels of the model: O, B-X"):
        number_tags([make("O", "B-Y")], ["O", "B-X"], "the model")


def test_sets_that_differ() -> None:
    require_same_labels(["O", "B-X"], ["B-X", "O"])
    with pytest.raises(
        InputError, match=r"made for the labels O, B-X, but data.labels are O, B-Y; they differ in B-X, B"
    ):
        require_same_labels(["O", "B-X"], ["O", "B-Y"])


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES", "BILOU"])
def test_scheme_of_a_label_set(scheme: Scheme) -> None:
    assert guess_scheme(find_labels([make("B-X")], scheme)) == scheme
