"""Lone surrogates: halves of characters, as Python has for bytes that it can't decode. No tokenizer takes them."""


def replace_surrogates(text: str) -> str:
    r"""Reads lone surrogates as U+FFFD, so that a text keeps its length.

    >>> replace_surrogates("a\ud800b") == "a\ufffdb"
    True
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
