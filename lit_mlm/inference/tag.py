"""Tagging: the label of each word of a text, and the entities that these mark, in texts of any length.

Words are split, cut into windows and decoded as in the evaluation of `TokenClassification`, with the options that it
leaves in the config. Shapes: W words of a sentence, T tokens, L labels.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast, get_args

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.remote_code import load_code
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_pad_id, find_special_tokens
from lit_mlm.text.tagging.alignment import EncodedWords, encode_words, find_first_pieces
from lit_mlm.text.tagging.decoding import Decoding, FloatArray, decode_logits
from lit_mlm.text.tagging.schemes import Scheme, Span, find_scheme, find_spans, guess_scheme
from lit_mlm.text.tagging.windows import add_context, cut_windows, join_windows
from lit_mlm.text.tagging.words import join_words, split_at_spaces, split_text

ROWS_PER_BATCH = 32


class Entity(TypedDict):
    """An entity, or a word where tags are plain, as parts of speech are.

    `type` is that of the entity, or the word's tag; `score` the mean probability of its words' labels, each from the
    softmax of its word; `text` what stands in the text from character `start` up to but not including `end`.
    """

    type: str
    score: float
    text: str
    start: int
    end: int


class TaggedText(NamedTuple):
    """A text or a sentence of words with what was found in it.

    Attributes:
        text: as given; of words that were given, these with a space between two of them.
        words: of the text.
        tags: one for each word.
        entities: from left to right, as `find_spans` groups the words; every word if tags are plain.
    """

    text: str
    words: list[str]
    tags: list[str]
    entities: list[Entity]


@dataclass(frozen=True)
class _Options:
    """What a tagger does with words: what `TokenClassification` wrote into the config, or the defaults.

    Attributes:
        scheme: of the labels; None for plain tags.
        window: tokens, special tokens included; None if there is no limit.
        stride: pieces that neighbouring windows share; None for a quarter of a window.
        context_tokens: of neighbouring sentences, shown beside each one.
        decoding: ``argmax`` or ``viterbi``.
    """

    scheme: Scheme | None
    window: int | None
    stride: int | None
    context_tokens: int
    decoding: Decoding


@dataclass(frozen=True)
class _Row:
    """A window: the pieces `start` up to `end` of the stream of all, and where in it its words' first pieces stand."""

    start: int
    end: int
    first_pieces: IntArray

    def __len__(self) -> int:
        return self.end - self.start


def load_tagger(
    model: str, revision: str | None = None, allow_pickle: bool = False, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a token classifier and its tokenizer, ready for inference.

    Args:
        model: name on the Hub, a folder, or the folder of a run, whose ``hf`` is taken.
        revision: of a model on the Hub.
        allow_pickle: reads pickled weights, as data alone, where there are no safetensors.
        trust_remote_code: runs the code that the model brings along; on the Hub `revision` must be a commit.

    Raises:
        InputError: if the model is none that was trained to tag words.
    """
    exported = Path(model) / "hf"
    name = str(exported) if exported.is_dir() else model
    advice = "take a model that was trained to tag words, such as the hf folder of a run with TokenClassification"
    if trust_remote_code:
        load_code(AutoModelForTokenClassification, name, revision)
    architectures = pretrained.load_config(name, revision).architectures or []
    # A classifier of sequences may have a head of the same name and shape, which would load without a word.
    if architectures and not any(found.endswith("ForTokenClassification") for found in architectures):
        raise InputError(f"{name} is a {', '.join(architectures)}, which has no head that tags words; {advice}")
    net, missing = pretrained.load_net(AutoModelForTokenClassification, name, revision, allow_pickle=allow_pickle)
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} weights of a token classifier, so it would tag words at random: "
            f"{', '.join(missing)}; {advice}"
        )
    return net, pretrained.load_tokenizer(name, revision)


def find_tags(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | Sequence[str]],
    documents: Sequence[int] | None = None,
    is_split: bool = False,
) -> list[TaggedText]:
    """Finds the tag of each word, and the entities that these mark.

    Args:
        net: a token classifier; it is run in eval mode, without dropout.
        tokenizer: its tokenizer.
        texts: each of any length: a text, or the words of a sentence.
        documents: a number for each text, the same for neighbours of one document; with it a net that was evaluated
            with context (``context_tokens``) is shown the same.
        is_split: cuts texts into words at white space alone, in place of `lit_mlm.text.tagging.words.split_text`.

    Raises:
        InputError: if the net's options don't fit it or its tokenizer.
    """
    split = split_at_spaces if is_split else split_text
    placed = [(text, split(text)) if isinstance(text, str) else join_words(text) for text in texts]
    words = [[word for word, _, _ in places] for _, places in placed]
    is_plain = _get_options(net).scheme is None
    tagged = _tag(net, tokenizer, words, documents)
    return [_group(*place, *found, is_plain) for place, found in zip(placed, tagged, strict=True)]


def tag_texts(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[Entity]]:
    """The entities of each text, every word if tags are plain; `find_tags` has more."""
    return [found.entities for found in find_tags(net, tokenizer, texts)]


def tag_words(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    documents: Sequence[int] | None = None,
) -> list[list[str]]:
    """The tag of each word of sentences that are given as words; `find_tags` has more."""
    return [tags for tags, _ in _tag(net, tokenizer, sentences, documents)]


def group_words(words: Sequence[str], tags: Sequence[str], scores: FloatArray, is_plain: bool) -> TaggedText:
    """What tags say of a sentence that is given as W words.

    Args:
        words: of the sentence.
        tags: of the words.
        scores: the probability of each tag, shape (W,).
        is_plain: whether the tags have no scheme, as parts of speech.
    """
    return _group(*join_words(words), tags, scores, is_plain)


def _group(
    text: str, places: Sequence[tuple[str, int, int]], tags: Sequence[str], scores: FloatArray, is_plain: bool
) -> TaggedText:
    spans = [Span(tag, i, i + 1) for i, tag in enumerate(tags)] if is_plain else find_spans(tags)
    entities = []
    for span in spans:
        start, end = places[span.start][1], places[span.end - 1][2]
        score = float(scores[span.start : span.end].mean())
        entities.append(Entity(type=span.type, score=score, text=text[start:end], start=start, end=end))
    return TaggedText(text, [word for word, _, _ in places], list(tags), entities)


OLD_NAMES = {"overlap": "stride", "context_pieces": "context_tokens"}  # of models that earlier versions wrote


def _get_options(net: PreTrainedModel) -> _Options:
    stored = _rename_stored(getattr(net.config, "lit_mlm", None) or {})
    labels = pretrained.get_labels(net.config)
    is_plain = find_scheme([label] for label in labels) is None
    limit, window = pretrained.get_max_length(net), stored.get("window")
    return _Options(
        scheme=stored.get("scheme", None if is_plain else guess_scheme(labels)),
        window=limit if window is None else window,
        stride=stored.get("stride"),
        context_tokens=stored.get("context_tokens", 0),
        decoding=stored.get("decoding", "argmax"),
    )


def _rename_stored(stored: Any) -> dict[str, Any]:
    """The options in a config by their names of today; those that `TokenClassification` did not write are refused."""
    counts = ("window", "stride", "context_tokens", *OLD_NAMES)
    choices = {"decoding": ("argmax", "viterbi"), "scheme": get_args(Scheme)}
    if not isinstance(stored, dict):
        raise InputError(f"lit_mlm in the model's config.json must be options, got {stored!r}")
    for name, value in stored.items():
        is_count = value is None or (isinstance(value, int) and value >= 0)
        if (name in counts and not is_count) or (name in choices and value is not None and value not in choices[name]):
            raise InputError(f"lit_mlm.{name} in the model's config.json is {value!r}, which it can't be")
    return {OLD_NAMES.get(str(name), str(name)): value for name, value in stored.items()}


def _tag(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    documents: Sequence[int] | None = None,
) -> Iterator[tuple[list[str], FloatArray]]:
    """The labels of each sentence's words and their probabilities, shape (W,)."""
    options, labels = _get_options(net), pretrained.get_labels(net.config)
    for logits in _compute_logits(net, tokenizer, sentences, documents, options):
        best, scores = decode_logits(logits, labels, options.scheme, options.decoding)
        yield [labels[i] for i in best.tolist()], scores


def _compute_logits(
    net: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    documents: Sequence[int] | None,
    options: _Options,
) -> list[FloatArray]:
    """Logits of each sentence's words, each from the window that owns the word, shape (W, L)."""
    num_special = len(find_special_tokens(tokenizer))
    size = sys.maxsize if options.window is None else options.window - num_special
    if size < 1:
        raise InputError(f"a window of {options.window} tokens leaves no room beside {num_special} special ones")
    encoded = encode_words(tokenizer, sentences, size)
    stride = size // 4 if options.stride is None else options.stride
    windows = [cut_windows(sentence.word_of_piece, size, stride) for sentence in encoded]
    offsets = np.cumsum([0, *(len(sentence.ids) for sentence in encoded)])
    context = _find_context(encoded, documents, options.context_tokens, size)
    rows = []
    for i, (table, sentence) in enumerate(zip(windows, encoded, strict=True)):
        first_pieces = find_first_pieces(sentence.word_of_piece)
        for start, end, first, last in zip(table.starts, table.ends, table.first_words, table.end_words, strict=True):
            # A sentence of several windows has no context.
            boundaries = (start + offsets[i], end + offsets[i]) if context is None or len(table) > 1 else context[i]
            rows.append(_Row(int(boundaries[0]), int(boundaries[1]), first_pieces[first:last] + offsets[i]))
    stream = np.concatenate([np.zeros(0, dtype=np.int64), *(sentence.ids for sentence in encoded)])
    values = iter(_run_rows(net, tokenizer, stream, rows))
    num_labels = len(pretrained.get_labels(net.config))
    return [join_windows(table, [next(values) for _ in table.starts]).reshape(-1, num_labels) for table in windows]


def _find_context(
    encoded: Sequence[EncodedWords], documents: Sequence[int] | None, num_pieces: int, size: int
) -> IntArray | None:
    """Start and end of each sentence with its context in the stream of all pieces, shape (S, 2); None without any."""
    if documents is None or not num_pieces or not encoded:
        return None
    words = [sentence.word_of_piece for sentence in encoded]
    return np.stack(add_context(words, np.array(documents, dtype=np.int64), num_pieces, size), axis=1)


def _run_rows(
    net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stream: IntArray, rows: Sequence[_Row]
) -> list[FloatArray]:
    """Logits of each row's words, in the order of the rows, computed in batches of about the same length."""
    around, pad_id = find_special_tokens(tokenizer), find_pad_id(tokenizer)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, FloatArray] = {}
    was_training = net.training
    net.eval()
    try:
        for first in range(0, len(order), ROWS_PER_BATCH):
            batch = order[first : first + ROWS_PER_BATCH]
            length = len(rows[batch[-1]]) + len(around)
            input_ids = torch.full((len(batch), length), pad_id)
            mask = torch.zeros_like(input_ids)
            for place, i in enumerate(batch):
                ids = [*around.prefix, *stream[rows[i].start : rows[i].end].tolist(), *around.suffix]
                input_ids[place, : len(ids)] = torch.tensor(ids)
                mask[place, : len(ids)] = 1
            with torch.inference_mode():
                logits = net(input_ids=input_ids.to(net.device), attention_mask=mask.to(net.device)).logits
            scores = cast(FloatArray, logits.float().cpu().numpy())
            for place, i in enumerate(batch):
                found[i] = scores[place, rows[i].first_pieces - rows[i].start + len(around.prefix)]
    finally:
        net.train(was_training)
    return [found[i] for i in range(len(rows))]
