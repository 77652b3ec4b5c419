"""Reading, splitting and hashing documents."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.reading.documents import (
    PLACE,
    SOURCE,
    TEXT,
    count_documents,
    hash_texts,
    join_sources,
    make_documents,
    map_sources,
    part_sources,
    split_documents,
    split_lines,
)
from lit_mlm.data.reading.text_cache import store_lines


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
    with pytest.raises(ValueError, match=r"at least 0 and add up to less than 1|are too few"):
        split_documents(make_documents(["a"] * num), fractions, seed=0)


def test_hash_tells_boundaries_apart() -> None:
    assert hash_texts(["ab", "c"]) != hash_texts(["a", "bc"]) != hash_texts(["abc"])
    assert hash_texts(iter(["ab", "c"])) == hash_texts(["ab", "c"])


@pytest.mark.parametrize("has_places", [False, True])
def test_documents_stay_with_their_source(has_places: bool, tmp_path: Path) -> None:
    texts = [["a\na", "a"], ["b\nb\nb"], ["c", "c\nc"]]
    joined = join_sources([make_documents(part, part if has_places else None) for part in texts])
    assert count_documents(joined) == [2, 1, 2]
    lines = map_sources(partial(store_lines, folder=tmp_path), joined)
    assert list(lines[TEXT]) == list("aaabbbccc")
    assert (PLACE in lines.column_names) == has_places
    assert count_documents(lines) == [3, 3, 3]
    assert count_documents(store_lines(make_documents(["a\nb"]), tmp_path)) == [2]
    parts = split_documents(lines, [0.4, 0.0], 1)
    for part in parts:
        counts = [list(part[TEXT]).count(name) for name in "abc"]
        assert [*count_documents(part), 0, 0, 0][:3] == counts
        assert [set(one[TEXT]) for one in part_sources(part)] == [
            {n} for n, num in zip("abc", counts, strict=True) if num
        ]
    assert SOURCE in parts[1].column_names


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_source_may_have_lost_all_its_documents(missing: int, tmp_path: Path) -> None:
    joined = join_sources([make_documents([name]) for name in "abc"])
    rest = joined.select([number for number in range(3) if number != missing])
    lines = map_sources(partial(store_lines, folder=tmp_path), rest)
    assert list(lines[TEXT]) == list("abc".replace("abc"[missing], ""))
    assert count_documents(lines) == [int(number != missing) for number in range(3)][: 2 if missing == 2 else 3]
