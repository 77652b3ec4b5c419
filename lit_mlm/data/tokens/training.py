"""Trains tokenizers on the data."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lit_mlm.data.reading.cache_folder import make_folder
from lit_mlm.data.tokens import encoding
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import load_tokenizer

Algorithm = Literal["wordpiece", "bpe"]
_WORD_BOUNDARY = re.compile(r"(?<=[^\W_])(?= [^\W_])")
SpecialNames = dict[str, str | AddedToken]


def train_tokenizer(
    texts: Iterator[str], algorithm: Algorithm, vocab_size: int, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """Trains a tokenizer.

    Args:
        texts: documents to learn the vocabulary from.
        algorithm: ``"wordpiece"`` as in BERT, or byte-level ``"bpe"`` as in RoBERTa.
        vocab_size: maximum vocabulary size, special tokens included; must hold the alphabet.
        lowercase: lower-cases text and strips accents (WordPiece only).
    """
    train = _train_wordpiece if algorithm == "wordpiece" else _train_byte_level_bpe
    tokenizer, names = train(cut_long_texts(texts), vocab_size, lowercase)
    if tokenizer.get_vocab_size() > vocab_size:
        raise InputError(
            f"vocab_size {vocab_size} is too small: the characters of the text and the special tokens already take "
            f"{tokenizer.get_vocab_size()}"
        )
    first, last = str(names["cls_token"]), str(names["sep_token"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **names
    )


def cut_long_texts(texts: Iterable[str]) -> Iterator[str]:
    """Yields texts, long ones in parts that have the same words, as a trainer takes 50 times the memory of a text.

    A part ends before a single space between letters or digits, where both kinds of tokenizers begin a word.
    """
    for text in texts:
        start = 0
        while place := _WORD_BOUNDARY.search(text, start + encoding.PART_CHARACTERS):
            yield text[start : place.start()]
            start = place.start()
        yield text[start:]


def load_or_train_tokenizer(
    texts: Iterator[str], algorithm: Algorithm, vocab_size: int, lowercase: bool, folder: Path
) -> PreTrainedTokenizerBase:
    """Loads the tokenizer that an earlier call left in `folder`, or trains it.

    The other arguments are those of `train_tokenizer`; the folder is that of `name_folder` with a key of them.
    """
    make_folder(folder, lambda new: train_tokenizer(texts, algorithm, vocab_size, lowercase).save_pretrained(new))
    return load_tokenizer(str(folder))


def _train_wordpiece(texts: Iterator[str], vocab_size: int, lowercase: bool) -> tuple[Tokenizer, SpecialNames]:
    names: SpecialNames = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer numbers the subwords ##a, ##b, ... in the order of a hash map, which differs between processes, and
    # breaks ties between merges by number. As special tokens they have fixed numbers; a second tokenizer then takes
    # the vocabulary without them being special.
    words = Counter(word for text in texts for word in tokenizer.normalizer.normalize_str(text).split())
    tokens = sorted(
        {f"##{c}" for w in words for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(w) for c in part[1:]}
    )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=[*names.values(), *tokens], show_progress=False
    )
    tokenizer.train_from_iterator(words.elements(), trainer)
    trained = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trained.decoder = decoders.WordPiece()
    trained.add_special_tokens(list(names.values()))
    return trained, names


def _train_byte_level_bpe(texts: Iterator[str], vocab_size: int, _lowercase: bool) -> tuple[Tokenizer, SpecialNames]:
    names: SpecialNames = {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        # The space before a mask belongs to the masked word.
        "mask_token": AddedToken("<mask>", lstrip=True, special=True),
    }
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(names.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer, names
