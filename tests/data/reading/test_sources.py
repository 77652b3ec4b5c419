"""Sources: which options fit together, and which files they name."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.reading.sources import Source, check_sources, find_source_files, refuse_shared_files
from lit_mlm.errors import InputError


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, r"data.sources is empty: name at least one"),
        ({"val": Source("x")}, r"data.sources.val: a source can't have the name of a split"),
        ({2020: Source("x")}, r"data.sources.2020: the name of a source must be a string, got 2020; put"),
        ({"": Source("x")}, r"data.sources.: the name of a source must be a string, got ''"),
        ({"a": Source()}, r"data.sources.a needs one of files and dataset, got neither"),
        ({"a": Source("x", "y")}, r"data.sources.a needs one of files and dataset, got files x and dataset y"),
        ({"a": Source("x"), "b": Source("y", weight=0)}, r"data.sources.b.weight must be above 0 and finite, got 0"),
        ({"a": Source("x", weight=-1)}, r"data.sources.a.weight must be above 0 and finite, got -1"),
        ({"a": Source("x", weight=float("nan"))}, r"data.sources.a.weight must be above 0 and finite, got nan"),
        ({"a": Source("x", weight=float("inf"))}, r"data.sources.a.weight must be above 0 and finite, got inf"),
        ({"a": Source("x", split="test")}, r"data.sources.a.split \(test\) has no effect on data.sources.a.files"),
        ({"a": Source("x", subset="s")}, r"data.sources.a.subset \(s\) has no effect on data.sources.a.files"),
        ({"a": Source("x", dataset_revision="r")}, r"data.sources.a.dataset_revision \(r\) has no effect on .*files"),
        (
            {"a": Source(None, "y", encoding="latin-1")},
            r"data.sources.a.encoding \(latin-1\) has no effect on .*dataset",
        ),
        ({"a": Source(None, "y", document_per="line")}, r"data.sources.a.document_per \(line\) has no effect on"),
        ({"a": Source("x", encoding="utf-9")}, r"data.sources.a.encoding utf-9 is not a text encoding"),
        (
            {"a": Source(None, "y", split="s"), "b": Source(None, "y"), "c": Source(None, "y", split="s")},
            r"data.sources.a and data.sources.c are both the split s of y",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(sources: dict[str, Source], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_sources(sources)


def test_options_that_fit() -> None:
    sources: dict[str, Any] = {
        "a": Source(["x", "y"], encoding="latin-1", document_per="line", text_column="t", weight=0.5),
        "b": Source(None, "org/set", "rev", "sub", "test", text_column="t"),
        "c": Source(None, "org/set", "rev", "sub", "train"),
    }
    check_sources(sources)


def test_files_of_each_source_in_order(tmp_path: Path) -> None:
    for name in ("a1.txt", "a2.txt", "b.txt"):
        (tmp_path / name).write_text("x")
    sources = {
        "b": Source([f"{tmp_path}/b.txt", f"{tmp_path}/a2.txt"]),
        "hub": Source(None, "org/set"),
        "a": Source(f"{tmp_path}/a*"),
    }
    found = find_source_files(sources)
    assert {name: [file.name for file in files] for name, files in found.items()} == {
        "b": ["b.txt", "a2.txt"],
        "hub": [],
        "a": ["a1.txt", "a2.txt"],
    }
    with pytest.raises(InputError, match=r"a2.txt is in both b and a"):
        refuse_shared_files(found)
    with pytest.raises(InputError, match=r"data.sources.c.files: no file matches .*c.txt"):
        find_source_files({"c": Source(str(tmp_path / "c.txt"))})
