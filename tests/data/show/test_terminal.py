"""Aligned columns on a terminal."""

from lit_mlm.data.show.terminal import align_rows


def test_rows_are_aligned() -> None:
    rows = [["EU", "rejects", "lamb", "."], ["B-ORG", "O", "B-MISC", "O"]]
    assert list(align_rows(rows, 120)) == ["  EU    rejects lamb   .", "  B-ORG O       B-MISC O"]
    assert list(align_rows([[], []], 120)) == []


def test_columns_go_by_cells() -> None:
    words = [
        "\u5317\u4eac",
        "\uff21",  # full-width A
        "\uff76\uff76",  # half-width kana
        "cafe\u0301",
        "\u304b\u3099",  # a wide letter and its combining mark, which is wide itself
        "a\u20dd",  # in an enclosing circle
        "\u0645\u06cc\u200c\u0631",  # a joiner
        "x",
    ]
    expected = "  O    O  O  O    O  O O   O"
    assert list(align_rows([words, ["O"] * len(words)], 120)) == [f"  {' '.join(words)}", expected]


def test_rows_wrap_together() -> None:
    rows = [["a", "bbbb", "c", "d" * 12, "e"], ["O", "O", "B-X", "O", "O"]]
    first = ["  a bbbb", "  O O", "  c", "  B-X", f"  {'d' * 12}", "  O", "  e", "  O"]
    assert list(align_rows(rows, 8)) == first  # one word is wider than the line
    assert list(align_rows(rows, 7))[:2] == ["  a", "  O"]
    assert list(align_rows(rows, 12))[:2] == ["  a bbbb c", "  O O    B-X"]
    assert list(align_rows([["\u5317", "\u4eac"]], 6)) == ["  \u5317", "  \u4eac"]
    assert list(align_rows([["\u5317", "\u4eac"]], 7)) == ["  \u5317 \u4eac"]
