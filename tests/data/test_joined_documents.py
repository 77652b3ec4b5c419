"""Which documents are whose, whatever is done to them."""

from functools import partial
from pathlib import Path

import pytest

from lit_mlm.data.documents import PLACE, TEXT, make_documents, split_documents
from lit_mlm.data.joined_documents import SOURCE, count_documents, join_sources, map_sources, part_sources
from lit_mlm.data.text_cache import store_lines


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
