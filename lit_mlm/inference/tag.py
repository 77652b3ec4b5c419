"""Tags the words of texts of any length, and groups them into entities.

Words are split, cut into windows and decoded as in the evaluation of `TokenClassification`, whose options the net's
config stores. Shapes: S sentences, W words of a sentence, L labels.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, get_args

import numpy as np
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError, refuse_text
from lit_mlm.inference.loading import load_model
from lit_mlm.inference.word_logits import compute_word_logits
from lit_mlm.nets import pretrained
from lit_mlm.options import Count, Size, check_option
from lit_mlm.text.arrays import Float32Array, IntArray
from lit_mlm.text.special_tokens import find_special_tokens
from lit_mlm.text.tagging.aggregation import Aggregation
from lit_mlm.text.tagging.decoding import Decoding, decode_parts
from lit_mlm.text.tagging.parts import iterate_parts
from lit_mlm.text.tagging.schemes import Scheme, Span, guess_scheme, iterate_spans
from lit_mlm.text.tagging.spelling import respell_labels
from lit_mlm.text.tagging.words import find_spaced_words, find_words, join_words


class Entity(TypedDict):
    """An entity, or a word if tags are plain.

    `type` is the entity type or the word's tag; `score` the mean softmax probability of its words' labels; `text` the
    slice of the text from character `start` up to but not including `end`.
    """

    type: str
    score: float
    text: str
    start: int
    end: int


class TaggedText(NamedTuple):
    """A tagged text or sentence.

    Attributes:
        text: as given; words are joined by spaces.
        words: of the text.
        tags: of the words.
        entities: from left to right, as `find_spans` groups them; every word if tags are plain.
    """

    text: str
    words: list[str]
    tags: list[str]
    entities: list[Entity]


@dataclass(frozen=True)
class _Options:
    """Options stored by `TokenClassification`, or their defaults. Sizes are in tokens."""

    scheme: Scheme | None
    window: int | None  # includes special tokens; None for no limit
    stride: int | None  # None for a quarter of a window
    context_tokens: int
    decoding: Decoding


def load_tagger(
    model: str, revision: str | None = None, allow_pickle: bool = False, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a token classifier and its tokenizer, by the arguments of `load_model`."""
    options = (model, revision, allow_pickle, trust_remote_code)
    return load_model(AutoModelForTokenClassification, "tag words", *options, head="ForTokenClassification")


def find_tags(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | Sequence[str]],
    documents: Sequence[int] | None = None,
    is_split: bool = False,
    batch_size: int | None = None,
    stride: int | None = None,
    aggregation: Aggregation = "first",
) -> list[TaggedText]:
    """Tags the words of texts and finds their entities.

    Args:
        net: a token classifier; run in eval mode.
        tokenizer: its tokenizer.
        texts: each a text of any length, or the words of a sentence.
        documents: document number of each text, equal for neighbours in one document; shows a net that was evaluated
            with ``context_tokens`` the same context.
        is_split: splits texts at white space only, instead of by `lit_mlm.text.tagging.words.split_text`.
        batch_size: rows per batch, >= 1; by default batches are filled by tokens.
        stride: tokens that neighbouring windows of a long text share, >= 0; by default as stored with the net.
        aggregation: how the tokens of a word make its label, as in `aggregate_tokens`; a net of `TokenClassification`
            is trained and evaluated for ``first``.
    """
    refuse_text("texts", texts)
    placed = [_split(text, is_split) if isinstance(text, str) else _join(text) for text in texts]
    scheme = _get_options(net).scheme
    words = [text.words for text in placed]
    tagged = _tag(net, tokenizer, words, documents, batch_size, stride, aggregation)
    return [_group(text, *found, scheme) for text, found in zip(placed, tagged, strict=True)]


def tag_texts(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int | None = None,
    stride: int | None = None,
    aggregation: Aggregation = "first",
) -> list[list[Entity]]:
    """Returns the entities of each text, or its words if tags are plain; see `find_tags`."""
    tagged = find_tags(net, tokenizer, texts, batch_size=batch_size, stride=stride, aggregation=aggregation)
    return [found.entities for found in tagged]


def tag_words(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    documents: Sequence[int] | None = None,
    batch_size: int | None = None,
    stride: int | None = None,
    aggregation: Aggregation = "first",
) -> list[list[str]]:
    """Returns the tags of sentences given as words; see `find_tags`."""
    for name, words in (("sentences", sentences), *(("a sentence", sentence) for sentence in sentences)):
        refuse_text(name, words)
    return [tags for tags, _ in _tag(net, tokenizer, sentences, documents, batch_size, stride, aggregation)]


def group_words(words: Sequence[str], tags: Sequence[str], scores: Float32Array, scheme: Scheme | None) -> TaggedText:
    """Groups the tagged words of a sentence, with scores of shape (W,), into entities; plain tags have no scheme.

    Examples:
        >>> tagged = group_words(["Ada", "Lovelace", "wrote"], ["B-PER", "I-PER", "O"], np.ones(3, np.float32), "IOB2")
        >>> tagged.entities
        [{'type': 'PER', 'score': 1.0, 'text': 'Ada Lovelace', 'start': 0, 'end': 12}]
    """
    return _group(_join(words), tags, scores, scheme)


class _PlacedWords(NamedTuple):
    """The words of a text, and the start and end of each in it, shape (W, 2); compact, as a text may be long."""

    text: str
    words: list[str]
    places: IntArray


def _split(text: str, is_split: bool) -> _PlacedWords:
    found = find_spaced_words(text) if is_split else find_words(text)
    known: dict[str, str] = {}  # so that equal words are one object
    words: list[str] = []

    def read() -> Iterator[int]:
        for start, end in found:
            word = text[start:end]
            words.append(known.setdefault(word, word))
            yield from (start, end)

    return _PlacedWords(text, words, np.fromiter(read(), np.int64).reshape(-1, 2))


def _join(words: Sequence[str]) -> _PlacedWords:
    text, placed = join_words(words)
    places = np.array([place for _, *place in placed], dtype=np.int64).reshape(-1, 2)
    return _PlacedWords(text, list(words), places)


def _group(placed: _PlacedWords, tags: Sequence[str], scores: Float32Array, scheme: Scheme | None) -> TaggedText:
    each_word = (Span(tag, i, i + 1) for i, tag in enumerate(tags))
    spans = each_word if scheme is None else iterate_spans(tags, scheme)
    entities, text = [], placed.text
    for span in spans:
        start, end = int(placed.places[span.start, 0]), int(placed.places[span.end - 1, 1])
        score = float(scores[span.start : span.end].mean())
        entities.append(Entity(type=span.type, score=score, text=text[start:end], start=start, end=end))
    return TaggedText(text, placed.words, list(tags), entities)


OLD_NAMES = {"overlap": "stride", "context_pieces": "context_tokens"}  # in models of earlier versions


def _get_options(net: PreTrainedModel) -> _Options:
    stored = _rename_stored(getattr(net.config, "lit_mlm", None) or {})
    labels = respell_labels(pretrained.get_labels(net.config))
    limit, window = pretrained.get_max_length(net), stored.get("window")
    return _Options(
        scheme=stored.get("scheme", guess_scheme(labels)),
        window=limit if window is None else window,
        stride=stored.get("stride"),
        context_tokens=stored.get("context_tokens", 0),
        decoding=stored.get("decoding", "argmax"),
    )


def _rename_stored(stored: Any) -> dict[str, Any]:
    """Validates the options in a config and maps old names to current ones."""
    counts = ("window", "stride", "context_tokens", *OLD_NAMES)
    choices = {"decoding": ("argmax", "viterbi"), "scheme": get_args(Scheme)}
    if not isinstance(stored, dict):
        raise InputError(f"lit_mlm in the model's config.json must be a mapping, got {stored!r}")
    for name, value in stored.items():
        is_count = value is None or (isinstance(value, int) and value >= 0)
        if (name in counts and not is_count) or (name in choices and value is not None and value not in choices[name]):
            raise InputError(f"lit_mlm.{name} in the model's config.json is {value!r}, which is not valid")
    return {OLD_NAMES.get(str(name), str(name)): value for name, value in stored.items()}


def _tag(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    documents: Sequence[int] | None,
    batch_size: int | None,
    stride: int | None,
    aggregation: Aggregation,
) -> Iterator[tuple[list[str], Float32Array]]:
    """Yields the labels of each sentence's words and their probabilities, shape (W,)."""
    check_options(batch_size, stride, aggregation)
    options, labels = _get_options(net), respell_labels(pretrained.get_labels(net.config))
    num_special = len(find_special_tokens(tokenizer))
    size = sys.maxsize if options.window is None else options.window - num_special
    if size < 1:
        raise InputError(f"a window of {options.window} tokens leaves no room beside {num_special} special ones")
    if stride is not None and stride >= size:
        raise InputError(f"stride must be less than the {size} tokens of a window, got {stride}")
    if stride is None:
        stride = size // 4 if options.stride is None else options.stride
    context = None
    if documents is not None and options.context_tokens:
        context = np.array(documents, dtype=np.int64), options.context_tokens
    rows = iterate_parts(tokenizer, sentences, size, stride, context)
    logits = (compute_word_logits(net, part, batch_size, aggregation) for part in rows)
    lengths = [len(words) for words in sentences]
    for num_words, parts in zip(lengths, regroup(logits, lengths), strict=True):
        best, scores = decode_parts(parts, num_words, labels, options.scheme, options.decoding)
        yield [labels[i] for i in best.tolist()], scores


def regroup(parts: Iterator[Float32Array], lengths: Sequence[int]) -> Iterator[Iterator[Float32Array]]:
    """Yields for each length the slices of parts that add up to it; each must be read before the next.

    Examples:
        >>> [[part.tolist() for part in group] for group in regroup(iter([np.arange(3.0), np.arange(2.0)]), [1, 0, 4])]
        [[[0.0]], [], [[1.0, 2.0], [0.0, 1.0]]]
    """
    rest = np.empty(0, np.float32)

    def take(length: int) -> Iterator[Float32Array]:
        nonlocal rest
        while length:
            if not len(rest):
                rest = next(parts)
            part, rest = rest[:length], rest[length:]
            length -= len(part)
            yield part

    return map(take, lengths)


def check_options(batch_size: int | None, stride: int | None, aggregation: Aggregation, prefix: str = "") -> None:
    """Refuses options of `find_tags` that are wrong for any net, by their names after a prefix."""
    check_option(f"{prefix}batch_size", Count | None, batch_size)
    check_option(f"{prefix}stride", Size | None, stride)
    check_option(f"{prefix}aggregation", Aggregation, aggregation)
