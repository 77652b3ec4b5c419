"""Texts of commands."""

import gzip
import io
from argparse import Namespace
from pathlib import Path

import pytest

from lit_mlm.cli import texts
from lit_mlm.cli.texts import read_text, read_texts
from lit_mlm.errors import InputError


def make_options(**options: object) -> Namespace:
    return Namespace(**({"file": None, "encoding": "utf-8", "texts": []} | options))


def test_texts_know_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\ntwo\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": "three"}\n\n{"text": null}\n')
    options = make_options(file=[str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl.gz")])
    found = read_texts(options, "read", read_text)
    assert found == ["one", "", "two", "three", ""]
    places = [getattr(text, "place", "").removeprefix(f"{tmp_path}/") for text in found]
    assert places == [*(f"a.txt, line {i}" for i in (1, 2, 3)), *(f"b.jsonl.gz, line {i}" for i in (1, 3))]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n")))
    (text,) = read_texts(make_options(), "read", read_text)
    assert (text, getattr(text, "place", None)) == ("one", "standard input, line 1")


def test_no_text_and_two_sources_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n \n")))
    with pytest.raises(InputError, match="no text to read: give texts as arguments, on standard input, or in --file"):
        read_texts(make_options(), "read", read_text)
    with pytest.raises(InputError, match=r"--file a\.txt and texts are mutually exclusive, got 'one'"):
        read_texts(make_options(file=["a.txt"], texts=["one"]), "read", read_text)


def test_a_record_without_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"txt": "one"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: no column 'text', only 'txt'$"):
        read_texts(make_options(file=[str(tmp_path / "a.jsonl")]), "read", read_text)


def test_a_file_is_not_read_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(InputError, match=r"a\.txt is a file: give it by --file, to read its texts"):
        read_texts(make_options(texts=["one", str(tmp_path / "a.txt")]), "read", read_text)
    texts_like_names = ["é" * 200, "a\0", "", str(tmp_path)]
    assert read_texts(make_options(texts=texts_like_names), "read", read_text) == texts_like_names


def test_batches_have_few_texts_and_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "TEXTS_AT_A_TIME", 3)
    monkeypatch.setattr(texts, "CHARACTERS_AT_A_TIME", 6)
    given = ["a", "b", "c", "d", "efghijkl", ["mn", "op"], "qr", "s", ""]
    expected = [["a", "b", "c"], ["d"], ["efghijkl"], [["mn", "op"], "qr"], ["s", ""]]
    assert [*texts.batch_texts(given)] == expected
    assert [*texts.batch_texts([])] == []
