"""The families of tokenizers, each small, and words of any kind."""

import random
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

FAMILIES = ["wordpiece", "bpe", "bpe_with_prefix_space", "bpe_roberta", "unigram", "unigram_first", "unigram_never"]
SPACED = {"bpe", "bpe_roberta", "unigram_never"}
"""Those whose words have other pieces behind a space, which they don't add by themselves."""

ALPHABET = (
    "aeinrstTHE09.,-/'@ßéü\u00ad\u0301\u0308\u200b\u200d\ufe0f\ufeff\x07\x9f \t\u00a0漢字かக한😀👩🏽½\ufffd\ud800"
    "\u05e9\u05b8\u0627\u0644\u064e\u200f\u202b"  # right to left
)


def is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def draw_word(rng: random.Random) -> str:
    """A word of a few characters, some of them from all of Unicode; one in twenty has 500."""
    if rng.random() < 0.1:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(1, 4)))
    return "".join(rng.choices(ALPHABET, k=500 if rng.random() < 0.05 else rng.choice([1, 1, 2, 3, 5, 8])))


def draw_sentence(rng: random.Random, num_words: int) -> list[str]:
    return [draw_word(rng) for _ in range(num_words)]


def encode_slowly(tokenizer: PreTrainedTokenizerFast, family: str, word: str) -> list[int]:
    """The pieces of one word by the tokenizer itself, or its unknown token."""
    readable = "".join("\ufffd" if is_surrogate(c) else c for c in word)
    pieces = tokenizer((" " if family in SPACED else "") + readable, add_special_tokens=False)["input_ids"]
    return list(pieces) or [int(tokenizer.unk_token_id)]


def make_families(
    wordpiece: PreTrainedTokenizerFast, bpe: PreTrainedTokenizerFast, texts: Iterable[str]
) -> dict[str, PreTrainedTokenizerFast]:
    """One of each; those of SentencePiece are trained on `texts`."""
    with_space = Tokenizer.from_str(bpe.backend_tokenizer.to_str())
    with_space.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    roberta = Tokenizer.from_str(bpe.backend_tokenizer.to_str())
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    texts = list(texts)
    return {
        "wordpiece": wordpiece,
        "bpe": bpe,
        "bpe_with_prefix_space": PreTrainedTokenizerFast(
            tokenizer_object=with_space, unk_token="<unk>", pad_token="<pad>"
        ),
        "bpe_roberta": PreTrainedTokenizerFast(tokenizer_object=roberta, unk_token="<unk>", pad_token="<pad>"),
        "unigram": make_unigram(texts, "always"),
        "unigram_first": make_unigram(texts, "first"),
        "unigram_never": make_unigram(texts, "never"),
    }


def make_unigram(texts: list[str], prepend_scheme: str) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer, with a normaliser that removes control characters."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)]
        if prepend_scheme == "always"
        else [pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)]
    )
    special = ["<pad>", "<unk>", "<mask>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>")
