"""Reading, splitting and hashing documents."""

from typing import Any

import pytest

from lit_mlm.data.documents import hash_texts, make_documents, split_documents, split_lines


def test_split_shares_no_document_and_loses_none() -> None:
    documents = make_documents([str(i) for i in range(50)])
    parts = [part["text"] for part in split_documents(documents, [0.1, 0.2], seed=3)]
    assert [len(part) for part in parts] == [5, 10, 35]
    assert sorted(int(text) for part in parts for text in part) == list(range(50))
    again = [part["text"] for part in split_documents(documents, [0.1, 0.2], seed=3)]
    other = [part["text"] for part in split_documents(documents, [0.1, 0.2], seed=4)]
    assert parts == again != other


def test_fraction_of_0_gives_an_empty_part_and_any_other_a_document() -> None:
    parts = split_documents(make_documents(["a", "b", "c"]), [0.0, 0.01], seed=0)
    assert [len(part) for part in parts] == [0, 1, 2]


def test_lines_without_text_are_left_out() -> None:
    lines = split_lines(make_documents(["one\r\n \n two\u2028still two\n", "\n\n", "three"]))
    assert list(lines) == ["one", " two\u2028still two", "three"]
    placed: list[Any] = list(split_lines(make_documents(["one\n\ntwo", "three"], ["a.txt", "b.txt"])))
    assert placed == ["one", "two", "three"]
    assert [line.place for line in placed] == ["a.txt, its line 1", "a.txt, its line 3", "b.txt, its line 1"]


@pytest.mark.parametrize(("num", "fractions"), [(1, [0.5]), (2, [0.4, 0.4]), (10, [-0.1]), (10, [1.0]), (0, [0.5])])
def test_impossible_splits_are_refused(num: int, fractions: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 0 and below 1|are too few"):
        split_documents(make_documents(["a"] * num), fractions, seed=0)


def test_hash_tells_borders_apart() -> None:
    assert hash_texts(["ab", "c"]) != hash_texts(["a", "bc"]) != hash_texts(["abc"])
    assert hash_texts(iter(["ab", "c"])) == hash_texts(["ab", "c"])
