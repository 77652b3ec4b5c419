"""The words of a text in a tokenizer: how many pieces they take, which are cut up most, and how they become one piece.

A word is what the tokenizer's own normaliser and pre-tokenizer cut out of a text, so it depends on the tokenizer: BERT
and RoBERTa part words from punctuation, SentencePiece cuts at white space only.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.pretrained import load_tokenizer

SCORE_A_CHARACTER = 1e-4
"""What a new Unigram piece gets a character beyond the score of its pieces: it wins, and the longer of two wins."""


@dataclass(frozen=True)
class Fertility:
    """How a tokenizer cuts up the words of a text (Rust et al. 2021, "How Good is Your Tokenizer?", ACL, section 4).

    Their words are those of a treebank; here they are the tokenizer's own, punctuation included, so figures compare
    vocabularies, not kinds of tokenizers.
    """

    num_words: int
    num_tokens: int
    """Pieces of all words."""
    num_split_words: int
    """Words of two pieces or more."""
    num_unknown: int = 0
    """Pieces that are the unknown token."""
    unknown_words: Counter[str] = field(default_factory=Counter)
    """The words that hold them, as the tokenizer normalises them, and how often they stand in the text."""

    @property
    def fertility(self) -> float:
        """Pieces a word, at least 1; 0 for a text without words."""
        return self.num_tokens / max(1, self.num_words)

    @property
    def split_fraction(self) -> float:
        """Share of words that are split, the paper's proportion of continued words, between 0 and 1."""
        return self.num_split_words / max(1, self.num_words)


def measure_fertility(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> Fertility:
    """Counts the words of a text and their pieces, special tokens and white space left out."""
    backend = _get_backend(tokenizer)
    num_words = num_tokens = num_split_words = num_unknown = 0
    unknown_words: Counter[str] = Counter()
    for form, count in _count_forms(texts, backend).items():
        if not _read_form(form, backend):
            continue
        ids = [piece.id for piece in backend.model.tokenize(form)]
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
    """The most frequent words of a text that a tokenizer cuts into many pieces, all of them fit for `add_words`.

    Where a word's form depends on what stands before it (byte-level BPE, SentencePiece), only that after a space
    counts.

    Args:
        texts: documents.
        tokenizer: whose words and pieces are meant.
        num_words: at most so many.
        min_pieces: a word must have at least so many, 2 or more.

    Returns:
        Words of letters of any script, normalised as the tokenizer does, the most frequent one first; words as
        frequent as each other are in the order of the alphabet.
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
    """Makes words entries of a tokenizer's vocabulary, after all ids that it has.

    They are entries of the model itself (WordPiece, BPE or Unigram), not what `transformers` calls added tokens, which
    match within other words and don't keep the space before them. So they are found as any other entry is:

    - WordPiece takes the longest entry from the left, so a new word is also the head of longer words;
    - in byte-level BPE the word after a space becomes an entry, and is taken where it is the whole word (the model's
      `ignore_merges`); at the start of a text or after a quotation mark it keeps its pieces. Classes of `transformers`
      that would rebuild the model without that setting (RoBERTa's) become `PreTrainedTokenizerFast`;
    - in Unigram the piece after a space gets a score just above that of its pieces, at least that of the rarest entry.

    Args:
        tokenizer: is not changed.
        words: normalised as the tokenizer does. Those that are one piece already are left out.

    Returns:
        A new tokenizer, which saves and loads as any other, and the ids of the old pieces by the id of the new word.
        If there is nothing to add, the tokenizer itself and no ids.

    Raises:
        InputError: if a word is empty, has white space in it, is cut by the pre-tokenizer, becomes unknown or is an
            entry that the tokenizer never takes, or if the tokenizer is of another kind.
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
            pieces = extended.convert_ids_to_tokens(found)
            raise InputError(f"the word {words_by_form[form]!r} can't become one piece: the tokenizer makes {pieces}")
    return extended, {new_ids[form]: ids for form, ids in splits.items()}


def require_same_vocabulary(tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase, option: str) -> None:
    """Refuses a tokenizer to whose ids a net's weights have learnt other tokens.

    Some tokens may differ: unused ones that were given a meaning, or new ones at the end.

    Args:
        tokenizer: that the data is to have.
        own: that the net was trained with.
        option: what asked for `tokenizer`.

    Raises:
        InputError: if fewer than half of the tokens have the ids that `own` gives them.
    """
    vocab, known = tokenizer.get_vocab(), own.get_vocab()
    num_same, num = sum(known.get(token) == i for token, i in vocab.items()), min(len(vocab), len(known))
    if 2 * num_same < num:
        raise InputError(
            f"{option} gives another vocabulary than the model was trained with: {num_same:,} of {num:,} tokens have "
            "the same ids; leave it out to take the model's own, or build a net from scratch with model.config"
        )


def _get_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    backend: Tokenizer = tokenizer.backend_tokenizer
    if backend.pre_tokenizer is None:
        raise InputError(f"the tokenizer {tokenizer.name_or_path} does not part a text into words")
    return backend


def _cut_words(text: str, backend: Tokenizer) -> list[str]:
    """The words of a text in the form in which the model gets them, such as RoBERTa's ``Ġfilm``."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    return [form for form, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def _count_forms(texts: Iterable[str], backend: Tokenizer) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_cut_words(text, backend))
    return counts


def _read_form(form: str, backend: Tokenizer) -> str:
    """A word without the marks of its form; empty for white space."""
    return (form if backend.decoder is None else backend.decoder.decode([form])).strip()


def _is_of_letters(word: str) -> bool:
    """Whether a word has letters and their marks only: the vowel signs of Hindi are marks, so `isalpha` is False."""
    kinds = {unicodedata.category(character)[0] for character in word}
    return "L" in kinds and kinds <= {"L", "M"}


def _find_form(word: str, backend: Tokenizer) -> str:
    """The form of a word after a space."""
    if word.split() != [word]:
        raise InputError(f"the word {word!r} can't be added: it is empty or has white space in it")
    forms = _cut_words(f" {word}", backend)
    if len(forms) != 1:
        parts = [_read_form(form, backend) for form in forms]
        raise InputError(f"the word {word!r} can't be added: the tokenizer takes it for {len(parts)} words, {parts}")
    return forms[0]


def _split_form(form: str, word: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    backend = tokenizer.backend_tokenizer
    ids = [token.id for token in backend.model.tokenize(form)]
    if len(ids) > 1 and backend.token_to_id(form) is not None:
        raise InputError(f"the word {word!r} can't be added: it is in the vocabulary, but the tokenizer passes it over")
    if not ids or tokenizer.unk_token_id in ids:
        raise InputError(
            f"the word {word!r} can't be added: it is unknown to the tokenizer, or longer than it takes, so there are "
            "no pieces to start from"
        )
    return ids


def _append_entries(
    model: dict[str, Any], old: dict[int, str], new_ids: dict[str, int], splits: dict[str, list[int]]
) -> None:
    """Adds entries to a model of `tokenizers`, given as its JSON, in place.

    Added tokens that stand behind the model's own entries become entries, else `tokenizers` would number them anew.
    """
    vocab = model["vocab"]
    if model["type"] == "Unigram":
        lowest = min(score for _, score in vocab)  # a lower one would change what unknown characters cost
        # No word has a space in it, so a piece that has one fills an id that nothing has.
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
    """A copy of a tokenizer with another backend, given as its JSON."""
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
