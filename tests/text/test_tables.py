"""Tables as lines of plain text."""

import pytest

from lit_mlm.text.tables import format_table


def test_columns_are_aligned_by_width_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [["\u5317\u4eac", "1", "[bold]"], ["cafe\u0301", "1,000", ":smile: 1/2"], ["", "", ""]]
    assert format_table(rows, "<><") == ["\u5317\u4eac      1  [bold]", "cafe\u0301  1,000  :smile: 1/2", ""]
    assert format_table([], "<>") == []


def test_long_lines_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert format_table([["a" * 500, "b " * 500 + "c"]], "<>") == ["a" * 500 + "  " + "b " * 500 + "c"]
    assert format_table([["a\tb", "c\nd\u2028e"]], "<<") == ["a b  c d e"]
