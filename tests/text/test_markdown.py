"""User text in Markdown, as a renderer of CommonMark and GitHub's tables shows it."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from lit_mlm.text.markdown import escape, fence_code, format_table, quote_code

HOSTILE = [
    "|",
    "a|b\nc",
    "<script>alert(1)</script>",
    "**bold** _it_ `code`",
    "[a](http://b.org) ![c](d)",
    "# no title",
    "&lt; & &amp;",
    "\\*",
    "a\x1b[31m\x00b",
    "``a`",
    "`",
    "~~gone~~ $x$",
    "B-日本",
]


def render(text: str) -> str:
    rendered: str = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    return rendered


def read_text(text: str) -> str:
    """The text that a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def flatten(text: str) -> str:
    return " ".join(re.sub(r"[\x00\x1b]", " ", text).split())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_reader_sees_the_text_itself(text: str) -> None:
    rendered = render(f"x {escape(text)}")
    assert read_text(rendered).removeprefix("x ") == flatten(text)
    assert set(re.findall(r"<(\w+)", rendered)) == {"p"}


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_the_text_itself(text: str) -> None:
    rendered = render(f"x {quote_code(text)}")
    assert set(re.findall(r"<(\w+)", rendered)) == {"p", "code"}
    assert read_text(rendered).removeprefix("x ") == flatten(text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("make", [escape, quote_code])
def test_a_row_keeps_its_cells(text: str, make: object) -> None:
    assert callable(make)
    rendered = render("\n".join(format_table([["a", "b"], [make(text), "1"]], "<>")))
    assert len(re.findall("<t[hd][ >]", rendered)) == 4
    assert read_text(re.findall("<td.*?</td>", rendered, re.DOTALL)[1]) == "1"


def test_a_fence_holds_other_fences() -> None:
    rendered = render("\n".join(fence_code("a\n```\n# b\n````\n", "yaml")))
    assert re.findall(r"<(\w+)", rendered) == ["pre", "code"]
    assert read_text(rendered) == "a\n```\n# b\n````"
