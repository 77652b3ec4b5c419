"""Tags as corpora spell them."""

import pytest

from lit_mlm.text.tagging.spelling import find_respelling, respell_labels


def respell(*sentences: str) -> list[str]:
    tags = [sentence.split() for sentence in sentences]
    found = find_respelling(tags)
    return [" ".join(sentence if found is None else found(sentence)) for sentence in tags]


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (["o b-per i-per", "b-loc o"], ["O B-per I-per", "B-loc O"]),
        (["O B_PER I_PER"], ["O B-PER I-PER"]),
        (["O B:PER e|art_work"], ["O B-PER E-art_work"]),
        (["B-PER b-PER O o"], ["B-PER B-PER O O"]),
        (["O PER-B PER-I", "ORG_B o"], ["O B-PER I-PER", "B-ORG O"]),
        (["b i o"], ["B I O"]),
        (["- - PER_B PER_I"], ["O O B-PER I-PER"]),  # the corpus has no O
        (["_ _ B-PER"], ["O O B-PER"]),
        (["O _ B-PER"], ["O _ B-PER"]),
        (["(PERSON* * *) * (ORG)", "* *"], ["B-PERSON I-PERSON I-PERSON O B-ORG", "O O"]),
        (["(ORG(GPE) *) (GPE)"], ["B-ORG I-ORG B-GPE"]),  # the outermost of nested ones
        (["(PER* *"], ["(PER* *"]),
        (["*) *"], ["*) *"]),
        (["O B-PER BPER X-PER B-"], ["O B-PER BPER X-PER B-"]),  # still misspelt
        (["NN I_x VB NN"], ["NN I_x VB NN"]),  # parts of speech
        (["O HEPATITIS-B O CANCER CANCER"], ["O HEPATITIS-B O CANCER CANCER"]),
        (["O O"], ["O O"]),
        ([], []),
    ],
)
def test_spellings(sentences: list[str], expected: list[str]) -> None:
    assert respell(*sentences) == expected


def test_labels() -> None:
    assert respell_labels(["O", "b-per", "i-per"]) == ["O", "B-per", "I-per"]
    assert respell_labels(["O", "PER", "LOC"]) == ["O", "PER", "LOC"]
