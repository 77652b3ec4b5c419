"""The tokenizer of the data: the model's own, another one, or one trained on the text."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from transformers import PreTrainedTokenizerBase

from lit_mlm.batch import TokenModel
from lit_mlm.data.reading.cache_folder import name_folder
from lit_mlm.data.reading.documents import hash_texts
from lit_mlm.data.tokens.training import Algorithm, load_or_train_tokenizer
from lit_mlm.data.tokens.vocabulary import require_same_vocabulary
from lit_mlm.errors import InputError
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.options import DataOptions, refuse_without


@dataclass(frozen=True)
class TokenizerOptions(DataOptions):
    """Options of `TextDataModule` that choose the tokenizer."""

    tokenizer: str | None
    tokenizer_revision: str | None
    vocab_size: int | None
    tokenizer_algorithm: Algorithm | None
    lowercase: bool | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokenizer is not None and self.vocab_size is not None:
            raise InputError(
                f"data.tokenizer ({self.tokenizer}) and data.vocab_size ({self.vocab_size}) are mutually exclusive: "
                "the first loads a tokenizer, the second trains one"
            )
        refuse_without("data.tokenizer", self.tokenizer, tokenizer_revision=self.tokenizer_revision)
        training = {"tokenizer_algorithm": self.tokenizer_algorithm, "lowercase": self.lowercase}
        refuse_without("data.vocab_size", self.vocab_size, **training)
        if self.tokenizer_algorithm == "bpe" and self.lowercase is not None:
            raise InputError(f"data.lowercase {self.lowercase} has no effect on data.tokenizer_algorithm bpe")

    def load(
        self,
        model: TokenModel | None,
        iterate_texts: Callable[[], Iterator[str]],
        cache_dir: Path,
        text_hash: str | None = None,
    ) -> PreTrainedTokenizerBase:
        """Loads or trains the tokenizer.

        Args:
            model: of the run, if known; its weights must fit the tokenizer.
            iterate_texts: yields the training texts.
            cache_dir: folder for trained tokenizers.
            text_hash: `hash_texts` of these texts, if known.
        """
        if self.vocab_size is not None:
            kind = self.tokenizer_algorithm or "wordpiece", self.vocab_size, self.lowercase in (None, True)
            folder = name_folder(cache_dir / "tokenizers", text_hash or hash_texts(iterate_texts()), kind)
            trained = load_or_train_tokenizer(iterate_texts(), *kind, folder)
            return _check_vocabulary(trained, model, f"data.vocab_size {self.vocab_size}")
        if self.tokenizer is not None:
            loaded = load_tokenizer(self.tokenizer, self.tokenizer_revision)
            return _check_vocabulary(loaded, model, f"data.tokenizer {self.tokenizer}")
        own = model.load_tokenizer() if model else None
        if own is None:
            raise InputError(
                "no tokenizer: the model is built from scratch; name one with data.tokenizer, or train one with "
                "data.vocab_size"
            )
        return cast(PreTrainedTokenizerBase, own)


def _check_vocabulary(
    tokenizer: PreTrainedTokenizerBase, model: TokenModel | None, option: str
) -> PreTrainedTokenizerBase:
    """Rejects a tokenizer that does not fit the initial weights; with a checkpoint its hash is compared later."""
    own = None
    with suppress(InputError):  # the model has no tokenizer
        own = model.load_tokenizer() if model and not model.has_final_tokenizer else None
    if own is not None:
        require_same_vocabulary(tokenizer, cast(PreTrainedTokenizerBase, own), option)
    return tokenizer
