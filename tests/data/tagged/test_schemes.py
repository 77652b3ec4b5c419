"""Tags in whichever scheme, right and wrong."""

import pytest

from lit_mlm.data.tagged.schemes import convert_sentences
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import Scheme, find_problem


def make(*tags: str) -> TaggedSentence:
    return TaggedSentence([f"w{i}" for i in range(len(tags))], tags, "some.txt", 5)


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
