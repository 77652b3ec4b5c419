"""Texts with labelled character spans, as annotation tools export them, as tagged words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lit_mlm.data.reading.files import BadRecordError
from lit_mlm.data.reading.readers import Row
from lit_mlm.text.tagging.schemes import Span, write_tags
from lit_mlm.text.tagging.words import split_text

SPAN_FIELDS = ("spans", "label", "labels", "entities", "ents")
"""Fields with the spans of a text: of Prodigy, doccano (three), and spaCy."""


class _Place(NamedTuple):
    start: int
    end: int
    type: str


@dataclass
class SpanReader:
    """Reads records of doccano, Prodigy and Label Studio, and counts what does not fit words.

    Words are those of `tag` (`split_text`), tags are IOB2. A span that cuts a word takes all of it. Of overlapping
    spans the longest remains, of equally long ones the first.

    Attributes:
        text_fields: that may have the text; the first one counts that has any.
        span_fields: that may have the spans.
        notes: places of what does not fit words, by kind.
    """

    text_fields: tuple[str, ...] = ("text",)
    span_fields: tuple[str, ...] = SPAN_FIELDS
    notes: dict[str, list[str]] = field(default_factory=dict)

    def fits(self, row: Row) -> bool:
        """Whether a record is a text with spans."""
        has_text = any(isinstance(row.fields.get(name), str) for name in self.text_fields)
        has_spans = "answer" in row.fields or any(name in row.fields for name in self.span_fields)
        return _is_label_studio(row) or (has_text and has_spans)

    def read(self, row: Row) -> tuple[list[str], list[str]] | None:
        """The words of a record and their tags; None if its annotator rejected it.

        Raises:
            BadRecordError: if the spans are not those of the text.
        """
        if row.fields.get("answer", "accept") != "accept":
            self._note("records that were not accepted, left out", row.place)
            return None
        text, found = _read_label_studio(row) if _is_label_studio(row) else self._read_fields(row)
        words = split_text(text)
        spans: list[Span] = []
        taken: set[int] = set()
        for place in sorted((_read_span(row, text, span) for span in found), key=lambda s: (s.start - s.end, s.start)):
            inside = [i for i, (_, start, end) in enumerate(words) if start < place.end and end > place.start]
            where = f"{row.place}, {text[place.start : place.end]!r:.60} ({place.start} to {place.end})"
            if not inside:
                raise BadRecordError(f"{where}: the span has no word")
            if taken & set(inside):
                self._note("spans that overlap longer ones, left out", where)
                continue
            if words[inside[0]][1] < place.start or words[inside[-1]][2] > place.end:
                self._note("spans that cut words, which are taken as a whole", where)
            taken |= set(inside)
            spans.append(Span(place.type, inside[0], inside[-1] + 1))
        tags = write_tags(sorted(spans, key=lambda span: span.start), len(words), "IOB2")
        return [word for word, _, _ in words], tags

    def describe(self) -> Iterator[str]:
        """Yields a line for each kind of what does not fit words."""
        for kind, places in self.notes.items():
            yield f"{kind}: {len(places)}, the first: {places[0]}"

    def _note(self, kind: str, place: str) -> None:
        self.notes.setdefault(kind, []).append(place)

    def _read_fields(self, row: Row) -> tuple[str, Sequence[Any]]:
        text = next(row.fields[name] for name in self.text_fields if isinstance(row.fields.get(name), str))
        name = next((name for name in self.span_fields if name in row.fields), None)
        spans = [] if name is None else row.fields[name]
        if not isinstance(spans, list):
            raise BadRecordError(f"{row.place}: the column {name!r} must hold a list of spans, got {spans!r:.60}")
        return text, spans


def _is_label_studio(row: Row) -> bool:
    return isinstance(row.fields.get("data"), dict) and ("annotations" in row.fields or "completions" in row.fields)


def _read_label_studio(row: Row) -> tuple[str, list[Any]]:
    """The text and the spans of the first annotation of a task that was not cancelled."""
    texts = [value for value in row.fields["data"].values() if isinstance(value, str)]
    text = row.fields["data"].get("text", texts[0] if len(texts) == 1 else None)
    if not isinstance(text, str):
        raise BadRecordError(f"{row.place}: the data of the task have no 'text', only {', '.join(row.fields['data'])}")
    annotations = row.fields.get("annotations") or row.fields.get("completions") or []
    valid = [found for found in annotations if isinstance(found, dict) and not found.get("was_cancelled")]
    if not valid:
        raise BadRecordError(f"{row.place}: the task has no annotation")
    values = [result.get("value", {}) for result in valid[0].get("result", [])]
    return text, [value for value in values if "start" in value and ("labels" in value or "label" in value)]


def _read_span(row: Row, text: str, span: Any) -> _Place:
    """A span ``[start, end, label]``, or an object with the same; the end is exclusive."""
    found: Sequence[Any] = (None, None, None)
    if isinstance(span, list | tuple) and len(span) == 3:
        found = span
    elif isinstance(span, Mapping):
        label = span.get("label", span.get("labels"))
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
        found = span.get("start", span.get("start_offset")), span.get("end", span.get("end_offset")), label
    start, end, label = found
    if not (type(start) is int and type(end) is int and isinstance(label, str) and label):
        raise BadRecordError(f"{row.place}: expected a span with a start, an end and a label, got {span!r:.80}")
    quoted = span.get("text") if isinstance(span, Mapping) else None
    if isinstance(quoted, str) and text[start:end] != quoted:  # JavaScript counts UTF-16
        units = text.encode("utf-16-le", "surrogatepass")
        before, inside = (units[2 * a : 2 * b].decode("utf-16-le", "replace") for a, b in ((0, start), (start, end)))
        if inside != quoted:
            found_text = f"{text[start:end]!r:.40} at {start} to {end}, not {quoted!r:.40}"
            raise BadRecordError(f"{row.place}: the text has {found_text}")
        start, end = len(before), len(before) + len(inside)
    if not 0 <= start < end <= len(text):
        raise BadRecordError(f"{row.place}: the span {start} to {end} is not in the text of {len(text)} characters")
    return _Place(start, end, label)
