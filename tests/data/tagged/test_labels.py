"""Label sets, and tags that are no labels."""

import pytest

from lit_mlm.data.base import require_same_labels
from lit_mlm.data.tagged.labels import find_doubts, find_labels, number_tags
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.schemes import Scheme, guess_scheme


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


def test_numbers_go_by_name() -> None:
    assert number_tags([make("O", "B-X"), make("I-X")], ["I-X", "O", "B-X"], "m") == [1, 2, 0]
    with pytest.raises(InputError, match=r"line 6 \('w1'\): tag 'B-Y' is not among the labels of the model: O, B-X"):
        number_tags([make("O", "B-Y")], ["O", "B-X"], "the model")


def test_sets_that_differ() -> None:
    require_same_labels(["O", "B-X"], ["B-X", "O"])
    with pytest.raises(
        InputError, match=r"the model has the labels O, B-X, but data.labels are O, B-Y; they differ in B-X, B"
    ):
        require_same_labels(["O", "B-X"], ["O", "B-Y"])


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES", "BILOU"])
def test_scheme_of_a_label_set(scheme: Scheme) -> None:
    assert guess_scheme(find_labels([make("B-X")], scheme)) == scheme


def test_labels_of_a_wrong_column_are_doubted() -> None:
    def doubt(*tags: str, scheme: Scheme | None = None) -> str | None:
        return find_doubts(find_labels([make(*tags)], scheme), [make(*tags)], scheme)

    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(150)]
    assert doubt(*words * 3) == "there are 150 different tags that look like words, such as wordaa, wordab, wordac"
    assert doubt("O", *words, *["O"] * 500, scheme="IO") is not None
    assert doubt("O", "O", scheme="IOB2") == "all 2 words have the tag 'O', so there is nothing to learn"
    assert doubt("_", "_", "_") == "all 3 words have the tag '_', so there is nothing to learn"
    assert doubt(*(f"N{i}-Case=Nom" for i in range(300))) is None  # morphology
    assert doubt("NN", "VB", "at", "ppss") is None
    assert doubt("O", "B-person", scheme="IOB2") is None
