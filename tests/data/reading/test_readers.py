"""Every kind of file, whole and broken."""

import bz2
import codecs
import gzip
import json
import lzma
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.reading.readers import PlacedText, read_rows, read_texts
from lit_mlm.errors import InputError

TEXTS = ["One line.", 'Two\nlines, with "quotes"', "naïve 漢字", "four"]


def quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_jsonl(path: Path, encoding: str = "utf-8") -> None:
    lines = [json.dumps({"id": i, "text": text}, ensure_ascii=False) for i, text in enumerate(TEXTS)]
    path.write_bytes("\n\n".join([*lines, ""]).encode(encoding))


def write_json(path: Path, encoding: str = "utf-8") -> None:
    path.write_bytes(json.dumps([{"text": text} for text in TEXTS], ensure_ascii=False, indent=1).encode(encoding))


def write_csv(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> None:
    rows = [f"{i}{delimiter}{quote(text)}" for i, text in enumerate(TEXTS)]
    path.write_bytes("\r\n".join([f"id{delimiter}text", *rows, ""]).encode(encoding))


def write_tsv(path: Path, encoding: str = "utf-8") -> None:
    write_csv(path, encoding, "\t")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"id": range(len(TEXTS)), "text": TEXTS}), path, row_group_size=3)


WRITERS: dict[str, Callable[[Path], None]] = {
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".csv": write_csv,
    ".tsv": write_tsv,
    ".parquet": write_parquet,
}

COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("compression", ["", ".gz", ".bz2", ".xz"])
def test_every_kind_gives_the_same_texts(tmp_path: Path, kind: str, compression: str) -> None:
    path = tmp_path / f"texts{kind}"
    WRITERS[kind](path)
    if compression:
        content, path = path.read_bytes(), path.with_name(path.name + compression)
        path.write_bytes(COMPRESS[compression](content))
    assert list(read_texts(path)) == TEXTS


def test_nested_column(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": {"b": {"text": "one"}, "a.c": "two"}, "a.b": "three", "d": null}')
    found = {"a.b.text": "one", "a.a.c": "two", "a.b": "three"}
    assert {column: next(read_texts(path, column=column)) for column in found} == found
    for column in ("a.text", "a.b.text.x", "d.e", "b.text"):
        with pytest.raises(BadRecordError, match=f"line 1: no column '{column}'"):
            list(read_texts(path, column=column))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_byte_order_mark_tells_the_encoding(encoding: str, suffix: str, tmp_path: Path) -> None:
    path, content = tmp_path / f"a{suffix}", "one\n\ntwo \u00e9".encode(encoding)
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    assert list(read_texts(path, by_line=True)) == ["one", "two \u00e9"]


@pytest.mark.parametrize("write", [write_jsonl, write_json, write_csv, write_tsv])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_every_encoding(tmp_path: Path, write: Callable[[Path, str], None], encoding: str) -> None:
    path = tmp_path / f"texts.{write.__name__.removeprefix('write_')}"
    write(path, encoding)
    assert list(read_texts(path, encoding=encoding)) == TEXTS
    if encoding == "utf-8-sig":  # the mark of a file's beginning is no text
        assert list(read_texts(path)) == TEXTS


def test_plain_text_by_file_and_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n two\n")
    assert list(read_texts(path)) == ["one\n\n two\n"]
    assert list(read_texts(path, by_line=True)) == ["one", " two"]
    assert [get_place(text) for text in read_texts(path)] == [str(path)]
    assert [get_place(text) for text in read_texts(path, by_line=True)] == [f"{path}, line 1", f"{path}, line 3"]


def collect(path: Path, **options: Any) -> tuple[list[str], list[BadRecordError]]:
    """What can be read, and what can't."""
    bad: list[BadRecordError] = []
    return list(read_texts(path, on_bad=bad.append, **options)), bad


def get_place(text: str) -> str:
    assert isinstance(text, PlacedText)
    assert pickle.loads(pickle.dumps(text)).place == text.place
    return text.place


def test_places_of_rows_and_what_is_wrong_with_others(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": ""}\n{"text": null}\n{"text": 3}\n{"text": "\\ud800"}\n{"text": "b"}\n')
    texts, bad = collect(path)
    assert [record.kind for record in bad] == ["empty", "empty", "damaged", "undecodable"]
    assert [get_place(texts[i]) for i in (0, -1)] == [f"{path}, line 1", f"{path}, line 7"]
    path.write_bytes(b'{"text": "\xe9"}')
    assert [record.kind for record in collect(path)[1]] == ["undecodable"]
    path.write_bytes("\u00e9".encode("utf-16")[:-1])
    assert [record.kind for record in collect(path, encoding="utf-16")[1]] == ["undecodable"]
    path.write_text(" \n")
    assert [record.kind for record in collect(path)[1]] == ["empty"]


def test_json_lines_in_a_json_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.json")
    assert list(read_texts(tmp_path / "a.json")) == TEXTS


def test_line_numbers_of_csv_count_lines_in_quotes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv")
    places = [row.place.rpartition(", ")[2] for row in read_rows(tmp_path / "a.csv")]
    assert places == ["line 2", "line 3", "line 5", "line 6"]


BROKEN = {
    "latin.txt": (
        b"one\ntwo\ncaf\xe9",
        "line 3: byte 0xe9 at position 4 is not valid utf-8; set its encoding, such as data.encoding latin-1",
    ),
    "empty.txt": (b" \n", "empty.txt is empty"),
    "empty.jsonl": (b"", "empty.jsonl is empty"),
    "cut.jsonl": (b'{"text": "a"}\n{"text": "b', "line 2: not a JSON object: Unterminated string"),
    "array.jsonl": (b'["a"]', "line 1: expected an object with columns, got list"),
    "null.jsonl": (b'{"text": "a"}\n\n{"text": null}', "line 3: no text in the column 'text'"),
    "number.jsonl": (b'{"text": 5}', "line 1: int 5 in the column 'text'"),
    "blank.jsonl": (b'{"text": "  "}', "line 1: str '  ' in the column 'text'"),
    "column.jsonl": (b'{"body": "a", "id": 1}', "line 1: no column 'text', only 'body', 'id'"),
    "latin.jsonl": (b'{"text": "a"}\n{"text": "caf\xe9"}', "line 2: byte 0xe9 at position 14 is not valid utf-8"),
    "cut.json": (b'[{"text": "a"},\n {"text"', "line 2: not a JSON array"),
    "latin.json": (b'[{"text":\n "caf\xe9"}]', "line 2: byte 0xe9 at position 6 is not valid utf-8"),
    "null.json": (b'[{"text": "a"}, {"text": null}]', "record 2: no text in the column 'text'"),
    "wide.csv": (b"id,text\n1,a\n2,b,c\n", "line 3: 3 fields, but the header has 2"),
    "null.csv": (b"id,text\n1,\n", "line 2: no text in the column 'text'"),
    "quote.csv": (b'id,text\n1,"a\n2,b\n', "line 2: can't parse the row that starts here: unexpected end of data"),
    "latin.csv": (b"id,text\n1,caf\xe9\n", "line 2: byte 0xe9 at position 6 is not valid utf-8"),
    "surrogate.jsonl": (b'{"text": "half \\ud83d cut"}', "line 1: lone surrogate in the column 'text'"),
    "digits.jsonl": (b'{"text": ' + b"1" * 5000 + b"}", "line 1: not a JSON object: Exceeds the limit"),
    "deep.jsonl": (b"[" * 100_000, "line 1: not a JSON object: "),
    "bom.txt": (b"\xef\xbb\xbf", "bom.txt is empty"),
    "text.parquet": (b"no parquet at all", "text.parquet: not a Parquet file, or a damaged one"),
    "cut.jsonl.gz": (gzip.compress(b'{"text": "a"}')[:-9], "is not a complete .gz file"),
    "plain.jsonl.gz": (b'{"text": "a"}', "is not a complete .gz file"),
    "plain.jsonl.xz": (b'{"text": "a"}', "is not a complete .xz file"),
    "plain.jsonl.bz2": (b'{"text": "a"}', "is not a complete .bz2 file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_name_file_place_and_what_was_found(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_texts(tmp_path / name))
    assert str(error.value).startswith(str(tmp_path / name))
    assert message in str(error.value)
    good, bad = collect(tmp_path / name)
    assert len(bad) >= 1
    assert set(good) <= {"a", "b"}


def test_null_in_parquet_names_the_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b", None]}), tmp_path / "a.parquet", row_group_size=2)
    good, (record,) = collect(tmp_path / "a.parquet")
    assert good == ["a", "b"]
    assert (str(record), record.kind) == (f"{tmp_path / 'a.parquet'}, row 3: no text in the column 'text'", "empty")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_missing_column_is_no_row_to_skip(tmp_path: Path, name: str) -> None:
    WRITERS[Path(name).suffix](tmp_path / name)
    with pytest.raises(InputError, match=r"has no column 'txt', only 'id', 'text'; did you mean data.text_column text"):
        collect(tmp_path / name, column="txt")


def test_broken_row_costs_no_other(tmp_path: Path) -> None:
    good_rows = [f"{i},1" for i in range(20)]
    rows = ["text,n", *good_rows[:10], '"he "said" so",2', '"not closed,3', *good_rows[10:]]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    good, bad = collect(tmp_path / "a.csv")
    assert good == [str(i) for i in range(20)]
    assert [str(record).partition(": ")[0][-7:] for record in bad] == ["line 12", "line 13"]


def test_undecodable_byte_in_a_row_of_several_lines_costs_that_row(tmp_path: Path) -> None:
    content = b'text,l\n"one\nb\xe9d",1\ntwo,2\n"three\nmore",3\nfour,4'
    (tmp_path / "a.csv").write_bytes(content)
    good, bad = collect(tmp_path / "a.csv")
    assert good == ["two", "three\nmore", "four"]
    assert len(bad) == 1
    (tmp_path / "b.csv").write_bytes(b"t\xe9xt,l\na,1\n")
    with pytest.raises(InputError, match=r"b.csv, line 1: byte 0xe9"):
        collect(tmp_path / "b.csv")


def test_damaged_page_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["some text"] * 1000}), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.parquet.*: not a Parquet file, or a damaged one"):
        list(read_texts(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id;text\n1;a", "its separator does not fit its name"),
        (b"\n\nid,body\n1,a", "only 'id', 'body'"),
    ],
)
def test_odd_headers(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        collect(tmp_path / "a.csv")


def test_lines_that_end_in_a_carriage_return_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,id\rone,1\rtwo,2\r")
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\r")
    assert list(read_texts(tmp_path / "a.csv")) == list(read_texts(tmp_path / "a.txt", by_line=True)) == ["one", "two"]


def test_undecodable_utf16_names_the_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("text".encode("utf-16")[:-1])
    _, (record,) = collect(tmp_path / "a.txt", encoding="utf-16")
    assert "a.txt, byte 8: truncated data: not valid utf-16" in str(record)


def test_utf16_without_a_byte_order_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text of a file in utf-8", encoding="utf-8")
    _, (record,) = collect(tmp_path / "a.txt", encoding="utf-16")
    assert record.kind == "undecodable"
    assert "a.txt, byte 22: truncated data: not valid utf-16; set" in str(record)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_files_larger_than_what_is_read_at_a_time(tmp_path: Path, encoding: str) -> None:
    lines = [f"line {i} of 漢字" for i in range(100_000)]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding=encoding)
    texts = list(read_texts(tmp_path / "a.txt", encoding=encoding, by_line=True))
    assert texts == lines
    assert get_place(texts[-1]) == f"{tmp_path / 'a.txt'}, line 100000"
    (tmp_path / "b.txt").write_bytes(" ".join(lines).encode("utf-16") + b"x")
    _, (record,) = collect(tmp_path / "b.txt", encoding="utf-16")
    assert f"byte {len(' '.join(lines).encode('utf-16'))}: truncated data" in str(record)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_files_are_not_held_in_memory(tmp_path: Path, name: str) -> None:
    texts = [os.urandom(1000).hex() for _ in range(5000)]
    writers: dict[str, Callable[[Path], object]] = {
        "a.txt": lambda path: path.write_text("\n".join(texts)),
        "a.jsonl.gz": lambda path: path.write_bytes(
            gzip.compress("\n".join(json.dumps({"text": text}) for text in texts).encode(), 1)
        ),
        "a.csv": lambda path: path.write_text("\n".join(["text", *texts])),
        "a.parquet": lambda path: pq.write_table(pa.table({"text": texts}), path, row_group_size=100),
    }
    writers[name](tmp_path / name)
    tracemalloc.start()
    num_read = sum(len(text) for text in read_texts(tmp_path / name, by_line=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_read == 5000 * 2000
    assert peak < 2_000_000


def test_what_stands_before_damage_is_read(tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "{os.urandom(20).hex()}"}}\n' for _ in range(10_000))
    content = gzip.compress(lines.encode())
    (tmp_path / "a.jsonl.gz").write_bytes(content[: len(content) // 2])
    good, bad = collect(tmp_path / "a.jsonl.gz")
    assert 1000 < len(good) < 9000
    assert lines.startswith("".join(f'{{"text": "{text}"}}\n' for text in good))
    assert [str(record).partition("is ")[2][:23] for record in bad] == ["not a complete .gz file"]


def test_wide_encodings_without_a_mark_and_cut_short(tmp_path: Path) -> None:
    rows = "text,id\none,1\ntwo,2\n".encode("utf-16")
    (tmp_path / "a.csv").write_bytes(rows.removeprefix(codecs.BOM_UTF16))
    assert list(read_texts(tmp_path / "a.csv", encoding="utf-16")) == ["one", "two"]
    (tmp_path / "a.csv").write_bytes(rows + b"x")
    good, bad = collect(tmp_path / "a.csv", encoding="utf-16")
    assert good == ["one", "two"]
    assert [record.kind for record in bad] == ["undecodable"]
