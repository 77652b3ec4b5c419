"""Column files: what is a word, what is a boundary, and what is told of a line that can't be read."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.tagged.columns import append_column, parse_columns, read_columns
from lit_mlm.data.tagged.layouts import ColumnOptions
from lit_mlm.data.tagged.sentences import TaggedSentence


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(content: str | bytes, *args: Any, name: str = "train.txt") -> list[TaggedSentence]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_columns(tmp_path / name, *args))

    return read


@pytest.fixture
def fail(tmp_path: Path) -> Any:
    def fail(content: str | bytes, column: Any = "last") -> list[str]:
        (tmp_path / "train.txt").write_bytes(content.encode() if isinstance(content, str) else content)
        bad: list[BadRecordError] = []
        list(read_columns(tmp_path / "train.txt", column, on_bad=bad.append))
        return [str(record).removeprefix(str(tmp_path / "train.txt")) for record in bad]

    return fail


CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

Peter NNP I-NP I-PER
-DOCSTART- -X- -X- O
Brussels NNP I-NP I-LOC


-DOCSTART-
. . O O"""


def test_sentences_documents_and_lines(read: Any) -> None:
    found = read(CONLL)
    assert [list(s.words) for s in found] == [["EU", "rejects"], ["Peter"], ["Brussels"], ["."]]
    assert [list(s.tags) for s in found] == [["I-ORG", "O"], ["I-PER"], ["I-LOC"], ["O"]]
    assert [s.first_line for s in found] == [3, 6, 8, 12]
    numbers = [s.document for s in found]
    assert numbers[0] == numbers[1] != numbers[2] != numbers[3] != numbers[0]
    assert found[0].locate(1).endswith("train.txt, line 4 ('rejects')")


@pytest.mark.parametrize(("column", "expected"), [("second", ["NNP", "VBZ"]), ("third", ["I-NP", "I-VP"])])
def test_columns_by_place(read: Any, column: str, expected: list[str]) -> None:
    assert list(read(CONLL, column)[0].tags) == expected


@pytest.mark.parametrize(
    "content",
    [
        CONLL.replace(" ", "\t"),
        CONLL.replace(" ", "   "),
        CONLL.replace("\n", "\r\n"),
        CONLL.replace("\n\n", "\n \t\n") + "\n\n\n",
        "\ufeff" + CONLL,
    ],
    ids=["tabs", "many spaces", "windows", "blank with white space", "byte order mark"],
)
def test_spellings_of_the_same_file(read: Any, content: str) -> None:
    assert read(content) == read(CONLL)


def test_compressed(read: Any) -> None:
    expected = [(list(s.words), list(s.tags), s.first_line) for s in read(CONLL)]
    found = read(gzip.compress(CONLL.encode()), name="train.txt.gz")
    assert [(list(s.words), list(s.tags), s.first_line) for s in found] == expected


def test_documents_are_not_known_without_boundaries(read: Any) -> None:
    assert [s.document for s in read("a O\n\nb O\n")] == [None, None]
    assert [s.document for s in read("a O\n\n-DOCSTART-\n\nb O\n")] == [0, 1]


def test_words_of_odd_characters(read: Any) -> None:
    words = ["\u00a0", "\u2028", "a\u3000b", "\x85", "\u00ad", "👩‍👧"]
    assert read("\n".join(f"{word} O" for word in words))[0].words == words
    assert read("1 000\tO\n \tO\n")[0].words == ["1 000", " "]


def test_lines_that_are_not_right(fail: Any) -> None:
    assert fail("EU NNP O\nrejects O\ncall VB O\n\nb\n") == [
        ", line 2: 2 columns separated by spaces, expected 3, as line 1 has: 'rejects O'",
        ", line 5: 1 column separated by spaces, expected 3, as line 1 has: 'b'",
    ]
    assert fail("EU\n") == [
        ", line 1: 1 column separated by spaces, expected at least 2, a word and its tags: 'EU'",
    ]
    assert fail("EU O x y z\nb O O\n")[0].startswith(", line 2: 3 columns separated by spaces, expected 5")
    assert fail("a\tO\nb\t\n") == [", line 2: column 2 is empty, expected a tag: 'b\\t'"]
    assert fail("a\tO\n\tO\n") == [", line 2: column 1 is empty, expected a word: '\\tO'"]
    assert fail("a\tO\nb O\n")[0].startswith(", line 2: 1 column separated by tabs, expected 2, as line 1 has")
    assert fail("a O\n", "third")[0].startswith(", line 1: 2 columns separated by spaces, expected at least 3")


def test_bytes_that_are_no_text(fail: Any, read: Any) -> None:
    content = "a O\n\nb O\ncafé O\n".encode("latin-1")
    (message,) = fail(content)
    assert message.startswith(
        ", line 4: byte 0xe9 at position 4 is not valid utf-8; set its encoding, such as data.encoding latin-1"
    )
    assert "skip_bad" not in message
    assert read(content, "last", "latin-1")[1].words == ["b", "café"]


def test_empty_and_missing_files(fail: Any, tmp_path: Path) -> None:
    assert fail("\n \n") == [" is empty"]
    with pytest.raises(BadRecordError, match=r"can't be read: No such file"):
        list(read_columns(tmp_path / "no.txt"))


def test_words_alone_are_their_own_tags(read: Any, fail: Any) -> None:
    assert [(s.words, s.tags) for s in read("a\nb\n\nc\n", "first")] == [(["a", "b"], ["a", "b"]), (["c"], ["c"])]
    assert read("a B-X\n", "first")[0].tags == ["a"]
    assert fail("a\n") == [", line 1: 1 column separated by spaces, expected at least 2, a word and its tags: 'a'"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a X\nb  Y\r\n\nc Z\n", "a X 1\nb Y 2\n\nc Z 3"),
        ("-DOCSTART- -X-\n\na X\n \t\n\nb Y", "-DOCSTART- -X- O\n\na X 1\n\n\nb Y 2"),
        ("-DOCSTART-\tO\n\nNew York\tX\nb\tY\n", "-DOCSTART-\tO\tO\n\nNew York\tX\t1\nb\tY\t2"),
        ("a\n\nb\n\n", "a 1\n\nb 2\n"),
        ("\ufeffa X\n", "a X 1"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_column_is_added(content: str, expected: str, encoding: str) -> None:
    """What comes out is read as what went in, with the new column as the tags."""
    if encoding == "utf-16" and content.startswith("\ufeff"):
        content = content[1:]
    raw = content.encode(encoding)
    lines = list(append_column(raw, iter("123"), encoding))
    assert "\n".join(lines) == expected
    before = list(parse_columns(Path("a"), raw, "first", encoding))
    after = list(parse_columns(Path("b"), "\n".join(lines).encode(encoding), "last", encoding))
    assert [s.words for s in after] == [s.words for s in before]
    assert "".join(tag for s in after for tag in s.tags) == "123"[: sum(len(s.words) for s in before)]


def test_a_column_is_added_beside_comments_and_counted_words() -> None:
    content = b"# sent_id = 1\n1\tA\tX\tO\n1-2\tb\t_\t_\n2\tB\tY\tO\n\n-DOCSTART-\tO\n"
    added = ["# sent_id = 1", "1\tA\tX\tO\t1", "1-2\tb\t_\t_", "2\tB\tY\tO\t2", "", "-DOCSTART-\tO\tO"]
    assert list(append_column(content, iter("12"), "utf-8")) == added
    (sentence,) = parse_columns(Path("a"), content, "first", "utf-8")
    assert sentence.words == ["A", "B"]


def test_right_tags_are_repeated_before_the_new_ones() -> None:
    content = b"WORD\tNER\tMISC\nA\tX\t_\nB\tY\t_\n"
    by_name, last = ColumnOptions("WORD", "NER"), ColumnOptions("WORD", "MISC")
    expected = ["WORD\tNER\tMISC\tNER\tpredicted", "A\tX\t_\tX\t1", "B\tY\t_\tY\t2"]
    assert list(append_column(content, iter("12"), "utf-8", by_name)) == expected
    assert list(append_column(content, iter("12"), "utf-8", last))[1:] == ["A\tX\t_\t1", "B\tY\t_\t2"]
