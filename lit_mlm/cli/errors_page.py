"""The page of an error report: one HTML file that loads nothing and runs nothing."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lit_mlm.cli.errors_examples import (
    NAMES,
    SHOWN,
    describe_place,
    mark_entities,
    name_entity,
    name_labels,
    show_text,
)
from lit_mlm.cli.errors_tables import Table, list_tables
from lit_mlm.metrics.entity_errors import KINDS
from lit_mlm.text.tables import shorten_middle

MAX_SENTENCES = 100
"""Worst sentences or texts on the page."""

SIDES = ("gold", "found")

MAX_ROWS = 200
"""Rows of a table on the page; JSON has all."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfbf9; --line: #d5d8dc; --soft: #6a7682;
  --correct: #cdebcb; --wrong_type: #e6d2f5; --wrong_boundary: #f8e7a8; --wrong_both: #bfe6ee; --missed: #f9cccc;
  --spurious: #fbd5b5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #15191e; --line: #39424c; --soft: #9aa6b2; --correct: #24472a; --wrong_type: #4c3364;
    --wrong_boundary: #584a12; --wrong_both: #1d4b55; --missed: #672c2c; --spurious: #663d16; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem; }
p { margin: .2rem 0 .6rem; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; }
.right { text-align: right; white-space: nowrap; }
article { border-top: 1px solid var(--line); padding: .6rem 0; }
.line { display: grid; grid-template-columns: 4rem 1fr; overflow-wrap: anywhere; }
.line > span { color: var(--soft); }
mark { color: inherit; padding: .05rem .25rem; border-radius: .25rem; }
mark small { font-weight: 600; margin-left: .3rem; }
""" + "\n".join(f"mark.{kind} {{ background: var(--{kind}); }}" for kind in KINDS)


def format_page(report: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of the page.

    Args:
        report: as it is written as JSON.
    """
    title = f"Errors of {report['checkpoint']} on the {report['split']} split"
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield '<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_show(title)}</title>"
    yield f"<style>{STYLE}</style>"
    yield f"<h1>{_show(title)}</h1>"
    yield f"<p>{_show(_summarise(report))}</p>"
    if "note" in report:
        yield f"<p>{_show(report['note'])}</p>"
    for table in list_tables(report):
        yield from _format_table(table)
    yield from _format_sentences(report.get("sentences", []))
    yield from _format_texts(report.get("texts", []))
    yield "</html>"


def _format_sentences(sentences: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if sentences:
        legend = " ".join(f'<mark class="{kind}">{NAMES[kind]}</mark>' for kind in KINDS)
        shown = min(len(sentences), MAX_SENTENCES)
        yield "<h2>Worst sentences</h2>"
        yield f"<p>The {shown:,} with the most errors of {len(sentences):,} with any. {legend}</p>"
    for sentence in sentences[:MAX_SENTENCES]:
        sides = {side: "".join(mark_entities(sentence, side, _show, _mark)) for side in SIDES}
        yield from _format_example(sentence, sides)


def _format_texts(texts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if texts:
        yield "<h2>Worst texts</h2>"
        yield f"<p>The {min(len(texts), MAX_SENTENCES):,} whose probabilities are the most wrong of {len(texts):,}.</p>"
    for text in texts[:MAX_SENTENCES]:
        words = _show(shorten_middle(" ".join(text["text"].split()), SHOWN))
        yield from _format_example(text, {side: _show(name_labels(text, side)) for side in SIDES} | {"text": words})


def _format_example(example: Mapping[str, Any], lines: Mapping[str, str]) -> Iterator[str]:
    yield "<article>"
    yield f"<p>{_show(describe_place(example))}</p>"
    for name, line in lines.items():
        yield f'<div class="line"><span>{name}</span><bdi>{line}</bdi></div>'
    yield "</article>"


def _summarise(report: Mapping[str, Any]) -> str:
    if "multi_label" in report:
        size = f"{report['num_texts']:,} texts, {len(report['labels'])} labels"
        return f"{size}; accuracy {report['accuracy']:.4f}: {report['num_right']:,} right"
    counts = report["counts"]
    if "hardest" in report:
        words, tokens = counts["num_words"], counts["num_tokens"]
        return f"{words:,} masked words, {tokens:,} tokens, {report['loss']:.4f} nats per token"
    size = f"{report['num_sentences']:,} sentences, {report['num_words']:,} words"
    name = "accuracy" if report["scheme"] is None else "F1"
    right = f"{counts['correct']:,} correct of {counts['predicted']:,} found and {counts['gold']:,} in gold"
    confirmed = f"; {report['confirmed']}" if report.get("confirmed") else ""
    return f"{size}; {name} {report['f1']:.4f}: {right}{confirmed}"


def _format_table(table: Table) -> Iterator[str]:
    head, *rows = table.rows
    classes = ["" if side == "<" else ' class="right"' for side in table.justify]
    rest = f" ({len(rows) - MAX_ROWS:,} more rows in the JSON file)" if len(rows) > MAX_ROWS else ""
    yield f"<h2>{_show(table.title)}</h2>"
    yield f"<p>{_show(table.note + rest)}</p>"
    yield '<div class="wide"><table>'
    for name, row in (("th", head), *(("td", row) for row in rows[:MAX_ROWS])):
        cells = zip(row, classes, strict=True)
        yield f"<tr>{''.join(f'<{name}{side}><bdi>{_show(cell)}</bdi></{name}>' for cell, side in cells)}</tr>"
    yield "</table></div>"


def _mark(text: str, entity: Mapping[str, Any]) -> str:
    kind = entity["kind"]
    return f'<mark class="{kind}" title="{NAMES[kind]}">{text}<small>{_show(name_entity(entity))}</small></mark>'


def _show(text: str) -> str:
    return escape(show_text(text))
