"""What a tokenizer puts around a sequence and behind it."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class SpecialTokens:
    """What a tokenizer puts around one sequence.

    Attributes:
        prefix: ids before the text, for example that of ``[CLS]``.
        suffix: ids after the text, for example that of ``[SEP]``.
    """

    prefix: list[int]
    suffix: list[int]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


def find_special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """What `tokenizer` puts around a sequence, found by giving it one."""
    bare: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    full: list[int] = tokenizer("a")["input_ids"]
    num_added = len(full) - len(bare)
    num_before = next(i for i in range(num_added + 1) if full[i : i + len(bare)] == bare)
    return SpecialTokens(full[:num_before], full[num_before + len(bare) :])


def find_pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """What stands on padding; without a token of its own that of the end, the mask, or 0: nothing reads it."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id, 0)
    return next(int(token_id) for token_id in ids if token_id is not None)
