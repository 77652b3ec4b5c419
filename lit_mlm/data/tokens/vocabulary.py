"""The words of a text in a tokenizer: how many tokens they take, and how to add them to the vocabulary.

A word is what the tokenizer's own normaliser and pre-tokenizer cut out of a text: BERT and RoBERTa separate
punctuation, SentencePiece cuts at white space only.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tokenizers import PreTokenizedString, Tokenizer
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.reading.flat_arrays import Arrays
from lit_mlm.data.tokens import encoding
from lit_mlm.data.tokens.encoding import INPUT_IDS, OFFSETS, encode_in_parts
from lit_mlm.errors import InputError
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.pretrained import load_tokenizer

SCORE_A_CHARACTER = 1e-4
"""Bonus per character of a new Unigram entry over the score of its old tokens: it wins, and the longer of two wins."""


@dataclass(frozen=True)
class Fertility:
    """How a tokenizer splits the words of a text (Rust et al. 2021, "How Good is Your Tokenizer?", ACL, section 4).

    The paper's words are those of a treebank; these are the tokenizer's own, with punctuation, so they compare
    vocabularies, not kinds of tokenizers.
    """

    num_words: int
    num_tokens: int
    """Tokens of all words."""
    num_split_words: int
    """Words of two tokens or more."""
    num_unknown: int = 0
    """Unknown tokens."""
    unknown_words: Counter[str] = field(default_factory=Counter)
    """Counts of the words with unknown tokens, as the tokenizer normalises them."""

    @property
    def fertility(self) -> float:
        """Tokens per word, at least 1; 0 for a text without words."""
        return self.num_tokens / max(1, self.num_words)

    @property
    def split_fraction(self) -> float:
        """Fraction of split words, the paper's proportion of continued words, in [0, 1]."""
        return self.num_split_words / max(1, self.num_words)


def measure_fertility(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> Fertility:
    """Counts the words of texts and their tokens, without special tokens and white space."""
    backend = _get_backend(tokenizer)
    num_words = num_tokens = num_split_words = num_unknown = 0
    unknown_words: Counter[str] = Counter()
    for form, count in _count_forms(texts, backend).items():
        if not _read_form(form, backend):
            continue
        ids = [token.id for token in backend.model.tokenize(form)]
        num_words += count
        num_tokens += count * len(ids)
        num_split_words += count * (len(ids) > 1)
        if tokenizer.unk_token_id in ids:
            num_unknown += count * ids.count(tokenizer.unk_token_id)
            unknown_words[_read_form(form, backend)] += count
    return Fertility(num_words, num_tokens, num_split_words, num_unknown, unknown_words)


def find_split_words(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, num_words: int, min_pieces: int = 3
) -> list[str]:
    """The most frequent words of a text that a tokenizer splits into many tokens, fit for `add_words`.

    If the form of a word depends on the text before it (byte-level BPE, SentencePiece), only words after a space count.

    Args:
        texts: documents.
        tokenizer: defines words and tokens.
        num_words: maximum number of words.
        min_pieces: minimum tokens of a word, at least 2.

    Returns:
        Words of letters of any script, normalised by the tokenizer, by decreasing frequency, then alphabetically.
    """
    backend = _get_backend(tokenizer)
    found = []
    for form, count in _count_forms(texts, backend).items():
        ids = [token.id for token in backend.model.tokenize(form)]
        if len(ids) >= min_pieces and tokenizer.unk_token_id not in ids:
            word = _read_form(form, backend)
            if _is_of_letters(word) and _cut_words(f" {word}", backend) == [form]:
                found.append((-count, word))
    return [word for _, word in sorted(found)[:num_words]]


def add_words(
    tokenizer: PreTrainedTokenizerBase, words: Iterable[str]
) -> tuple[PreTrainedTokenizerBase, dict[int, list[int]]]:
    """Adds words to the vocabulary of a tokenizer, after all its ids.

    They become entries of the model itself (WordPiece, BPE or Unigram). The added tokens of `transformers` would match
    within other words and drop the space before them. So each kind of model finds them as any other entry:

    - WordPiece takes the longest entry from the left, so a new word is also the head of longer words;
    - byte-level BPE gets the word after a space, and takes it as a whole word only (`ignore_merges`); at the start of a
      text or after a quotation mark it is split as before. Tokenizer classes that would drop this setting (RoBERTa's)
      become `PreTrainedTokenizerFast`;
    - Unigram gets the word after a space, with a score just above that of its old tokens, at least that of the rarest
      entry.

    Args:
        tokenizer: remains unchanged.
        words: normalised by the tokenizer; words of a single token are skipped, words that it can't learn raise.

    Returns:
        A new tokenizer, which saves and loads like any other, and the old token ids by the id of the new word; without
        words to add, the same tokenizer and an empty dictionary.
    """
    backend = _get_backend(tokenizer)
    words_by_form = {_find_form(word, backend): word for word in words}
    splits = {form: _split_form(form, word, tokenizer) for form, word in words_by_form.items()}
    splits = {form: ids for form, ids in splits.items() if len(ids) > 1}
    if not splits:
        return tokenizer, {}
    old = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    new_ids = {form: max(old) + 1 + index for index, form in enumerate(splits)}
    fields = json.loads(backend.to_str())
    _append_entries(fields["model"], old, new_ids, splits)
    extended = _rebuild(tokenizer, fields)
    for form, new_id in new_ids.items():
        found = extended(f" {words_by_form[form]}", add_special_tokens=False)["input_ids"]
        if found != [new_id]:
            tokens = extended.convert_ids_to_tokens(found)
            raise InputError(f"the word {words_by_form[form]!r} can't become one token: the tokenizer makes {tokens}")
    return extended, {new_ids[form]: ids for form, ids in splits.items()}


def require_same_vocabulary(tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase, option: str) -> None:
    """Rejects a tokenizer, asked for by `option`, with other token ids than `own`, which the net was trained with.

    Up to half of the tokens may differ: unused ones with a new meaning, or new ones at the end.
    """
    vocab, known = tokenizer.get_vocab(), own.get_vocab()
    num_same, num = sum(known.get(token) == i for token, i in vocab.items()), min(len(vocab), len(known))
    if 2 * num_same < num:
        raise InputError(
            f"{option} gives another vocabulary than the model was trained with: {num_same:,} of {num:,} tokens have "
            "the same ids; remove it to use the model's own, or build a net from scratch with model.config"
        )


def _get_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    backend: Tokenizer = tokenizer.backend_tokenizer
    if backend.pre_tokenizer is None:
        raise InputError(f"the tokenizer {tokenizer.name_or_path} does not split text into words")
    return backend


def _cut_words(text: str, backend: Tokenizer) -> list[str]:
    """The words of a text in the form for the model, such as RoBERTa's ``Ġfilm``."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    return [form for form, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def _count_forms(texts: Iterable[str], backend: Tokenizer) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        is_long = len(text) > encoding.PART_CHARACTERS
        counts.update(_count_in_parts(text, backend) if is_long else _cut_words(text, backend))
    return counts


def _count_in_parts(text: str, backend: Tokenizer) -> dict[str, int]:
    """Counts the words of a long text in bounded memory."""
    numbers: dict[str, int] = {}

    def cut(part: str) -> Arrays:
        cut_text = PreTokenizedString(part)
        if backend.normalizer is not None:
            cut_text.normalize(backend.normalizer.normalize)
        backend.pre_tokenizer.pre_tokenize(cut_text)
        words = cut_text.get_splits("original", "char")
        offsets = np.array([places for _, places, _ in words], dtype=np.int64).reshape(-1, 2)
        ids = [numbers.setdefault(form, len(numbers)) for form, _, _ in words]
        return {INPUT_IDS: np.array(ids, dtype=np.int64), OFFSETS: offsets}

    found = encode_in_parts(text, cut, dropped=(OFFSETS,))[INPUT_IDS]
    counts = np.bincount(found, minlength=len(numbers)).tolist()
    return {form: num for form, num in zip(numbers, counts, strict=True) if num}


def _read_form(form: str, backend: Tokenizer) -> str:
    """A word without the marks of its form; empty for white space."""
    return (form if backend.decoder is None else backend.decoder.decode([form])).strip()


def _is_of_letters(word: str) -> bool:
    """Whether a word has only letters and their marks; unlike `isalpha`, accepts the vowel signs of Hindi."""
    kinds = {unicodedata.category(character)[0] for character in word}
    return "L" in kinds and kinds <= {"L", "M"}


def _find_form(word: str, backend: Tokenizer) -> str:
    """The form of a word after a space."""
    if word.split() != [word]:
        raise InputError(f"the word {word!r} can't be added: it is empty or contains white space")
    forms = _cut_words(f" {word}", backend)
    if len(forms) != 1:
        parts = [_read_form(form, backend) for form in forms]
        raise InputError(f"the word {word!r} can't be added: the tokenizer makes it {len(parts)} words, {parts}")
    return forms[0]


def _split_form(form: str, word: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    backend = tokenizer.backend_tokenizer
    ids = [token.id for token in backend.model.tokenize(form)]
    if len(ids) > 1 and backend.token_to_id(form) is not None:
        raise InputError(f"the word {word!r} can't be added: the vocabulary has it, but the tokenizer never uses it")
    if not ids or tokenizer.unk_token_id in ids:
        raise InputError(
            f"the word {word!r} can't be added: it is unknown to the tokenizer, or too long, so it has no tokens to "
            "start from"
        )
    return ids


def _append_entries(
    model: dict[str, Any], old: dict[int, str], new_ids: dict[str, int], splits: dict[str, list[int]]
) -> None:
    """Adds entries to the JSON of a model of `tokenizers`, in place.

    Added tokens behind the model's entries become entries, too, since `tokenizers` would renumber them.
    """
    vocab = model["vocab"]
    if model["type"] == "Unigram":
        lowest = min(score for _, score in vocab)  # a lower score would change the cost of unknown characters
        # Unused ids get an entry with a space, which no word contains.
        vocab += [[old.get(token_id, f" {token_id}"), lowest] for token_id in range(len(vocab), max(old) + 1)]
        scores = {form: max(lowest, sum(vocab[token_id][1] for token_id in ids)) for form, ids in splits.items()}
        vocab += [[form, score + SCORE_A_CHARACTER * len(form)] for form, score in scores.items()]
        return
    is_plain_bpe = model["type"] == "BPE" and not (model["continuing_subword_prefix"] or model["end_of_word_suffix"])
    if model["type"] != "WordPiece" and not is_plain_bpe:
        raise InputError(f"words can be added to WordPiece, byte-level BPE and Unigram tokenizers, not {model['type']}")
    vocab |= {token: token_id for token_id, token in old.items()} | new_ids
    if is_plain_bpe:
        model["ignore_merges"] = True


def _rebuild(tokenizer: PreTrainedTokenizerBase, fields: dict[str, Any]) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer with another backend, given as JSON."""
    with TemporaryDirectory() as folder, quiet():
        tokenizer.save_pretrained(folder)
        Path(folder, "tokenizer.json").write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")
        rebuilt = load_tokenizer(folder)
        if json.loads(rebuilt.backend_tokenizer.to_str())["model"] != fields["model"]:
            file = Path(folder, "tokenizer_config.json")
            config = json.loads(file.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
            file.write_text(json.dumps(config), encoding="utf-8")
            rebuilt = load_tokenizer(folder)
    rebuilt.name_or_path = tokenizer.name_or_path
    return rebuilt
