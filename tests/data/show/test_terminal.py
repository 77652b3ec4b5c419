"""Aligned columns on a terminal."""

import unicodedata

import pytest

from lit_mlm.data.show.terminal import align_rows, measure_cells


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("lamb", 4),
        ("\u5317\u4eac", 4),
        ("\uff21\uff22", 4),  # full-width A and B
        ("\uff76", 1),  # half-width kana
        (unicodedata.normalize("NFC", "caf\u00e9"), 4),
        (unicodedata.normalize("NFD", "caf\u00e9"), 4),
        ("\u304b\u3099", 2),  # a wide letter and its combining mark, which is wide itself
        ("a\u20dd", 1),  # in an enclosing circle
        ("\u0645\u06cc\u200c\u0631", 3),  # a joiner
    ],
)
def test_cells(text: str, cells: int) -> None:
    assert measure_cells(text) == cells


def test_rows_are_aligned() -> None:
    rows = [["EU", "rejects", "lamb", "."], ["B-ORG", "O", "B-MISC", "O"]]
    assert list(align_rows(rows, 120)) == ["  EU    rejects lamb   .", "  B-ORG O       B-MISC O"]
    assert list(align_rows([[], []], 120)) == []


def test_columns_go_by_cells() -> None:
    rows = [["\u5317\u4eac", "cafe\u0301", "x"], ["O", "O", "O"]]
    assert list(align_rows(rows, 120)) == ["  \u5317\u4eac cafe\u0301 x", "  O    O    O"]


def test_rows_wrap_together() -> None:
    rows = [["a", "bbbb", "c", "d" * 12, "e"], ["O", "O", "B-X", "O", "O"]]
    first = ["  a bbbb", "  O O", "  c", "  B-X", f"  {'d' * 12}", "  O", "  e", "  O"]
    assert list(align_rows(rows, 8)) == first  # one word is wider than the line
    assert list(align_rows(rows, 7))[:2] == ["  a", "  O"]
    assert list(align_rows(rows, 12))[:2] == ["  a bbbb c", "  O O    B-X"]
    assert list(align_rows([["\u5317", "\u4eac"]], 6)) == ["  \u5317", "  \u4eac"]
    assert list(align_rows([["\u5317", "\u4eac"]], 7)) == ["  \u5317 \u4eac"]
