"""The page of an error report."""

from html.parser import HTMLParser

from lit_mlm.cli.errors_page import format_page
from lit_mlm.metrics.entity_errors import ScoredSentence
from lit_mlm.metrics.error_report import report_errors

VOID = {"meta"}


class Checker(HTMLParser):
    """Checks that elements are closed in order, and collects what they are and their text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        assert {name for name, _ in attrs} <= {"lang", "charset", "name", "content", "class", "title"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_markup_in_words_types_and_places_is_text() -> None:
    evil = '"><img src=x onerror=alert(1)>'
    sentence = ScoredSentence([evil, "'"], [f"B-{evil}", "O"], ["O", f"B-{evil}"], [0.5, 0.5], "IOB2", 0, evil)
    report = report_errors([sentence], [([evil], [f"B-{evil}"]), ([evil], ["O"]), ([evil], ["O"])])
    page = "\n".join(format_page({"checkpoint": evil, "split": "test", "note": evil, **report}))
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "img" not in checker.names
    assert "script" not in checker.names
    assert "http" not in page
    assert sum(evil in text for text in checker.texts) >= 8
