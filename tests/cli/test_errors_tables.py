"""Sentences and tables of an error report in a terminal."""

from collections.abc import Mapping
from typing import Any

import pytest

from lit_mlm.cli.errors_examples import LONG, format_sentences, mark_entities, show_text
from lit_mlm.cli.errors_tables import list_tables
from lit_mlm.metrics.entity_errors import ScoredSentence
from lit_mlm.metrics.error_report import describe_sentence, report_errors
from lit_mlm.text.tables import format_table


def make(num_words: int = 3) -> ScoredSentence:
    gold = ["B-LOC", "I-LOC", *["O"] * (num_words - 2)]
    found = ["B-LOC", "O", *["O"] * (num_words - 3), "B-PER"]
    words = ["New", "York", *["and"] * (num_words - 3), "Ada"]
    return ScoredSentence(words, gold, found, [0.75] * num_words, "IOB2", 4, "a.txt, line 2")


def test_a_sentence_in_brackets_and_in_colour() -> None:
    sentence = describe_sentence(make())
    assert list(format_sentences([sentence], False)) == [
        "\nWorst sentences",
        "\nsentence 4 (a.txt, line 2): 2 errors",
        "  gold   [New York LOC: wrong boundary] Ada",
        "  found  [New LOC 0.75: wrong boundary] York [Ada PER 0.75: spurious]",
    ]
    coloured = "\n".join(format_sentences([sentence], True))
    assert "\x1b[1;33mNew York\x1b[0m\x1b[33m LOC\x1b[0m" in coloured


def test_of_a_long_sentence_what_is_far_from_errors_is_left_out() -> None:
    def mark(text: str, entity: Mapping[str, Any]) -> str:
        return f"<{text}>"

    sentence = describe_sentence(make(LONG + 100))
    text = "".join(mark_entities(sentence, "gold", show_text, mark))
    assert text == " ".join(["<New York>", *["and"] * 12, "…", *["and"] * 12, "Ada"])
    short = "".join(mark_entities(describe_sentence(make(LONG)), "gold", show_text, mark))
    assert short.count("and") == LONG - 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x07b", "a\\u0007b"),
        ("\u202ea", "\\u202ea"),
        ("\ud800", "\\ud800"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),  # a joiner within a Persian word
        ("日本", "日本"),
    ],
)
def test_hidden_characters_are_escaped(text: str, shown: str) -> None:
    assert show_text(text) == shown


def test_hidden_characters_of_tables_are_escaped() -> None:
    sentence = ScoredSentence(["\u202eevil"], ["O"], ["B-\u200bX"], [0.5], "IOB2")
    tables = list_tables(report_errors([sentence], [(["\u202eevil"], ["B-\u200bX"])]))
    text = "\n".join(line for table in tables for line in format_table(table.rows, table.justify))
    assert "\\u202eevil" in text
    assert "\\u200bX" in text
    assert "\u202e" not in text
    assert "\u200b" not in text


def test_tables_have_rows_of_one_width_and_a_terminal_gets_the_first_ones() -> None:
    sentences = [ScoredSentence([f"w{i}"], [f"B-T{i}"], [f"B-T{i + 1}"], [0.5], "IOB2", i) for i in range(20)]
    report = report_errors(sentences, [([f"w{i}"], [f"B-T{i + 1}"]) for i in range(20)])
    whole, short = list(list_tables(report)), list(list_tables(report, is_short=True))
    assert [table.title for table in whole] == [table.title for table in short]
    assert {"Kinds of errors", "By type", "Confusions", "Seen in training", "Contradictions"} <= {
        t.title for t in whole
    }
    for table in (*whole, *short):
        assert {len(row) for row in table.rows} == {len(table.justify)}
        assert format_table(table.rows, table.justify)
    (types,) = (table for table in short if table.title == "By type")
    assert len(types.rows) == 13
    assert types.note.endswith("(9 more on the page)")
