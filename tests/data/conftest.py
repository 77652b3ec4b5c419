"""What the tests of data sets share."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from transformers import PreTrainedTokenizerFast


@contextmanager
def limit_files(num_bytes: int) -> Iterator[None]:
    """Lets this process write no longer files, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps data modules that are given no cache out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def conll_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A WordPiece tokenizer that cuts CoNLL's first sentences as that of bert-base-cased does."""
    pieces = "[PAD] [UNK] [CLS] [SEP] [MASK] EU rejects German call to boycott British la ##mb . Peter Black ##burn a"
    words = [*pieces.split(), "BRUSSELS", "1996", "-", "08", "22", "b", "c", "d", "##a", "##b", "##c", "##d"]
    tokenizer = Tokenizer(WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    folder = str(tmp_path_factory.mktemp("conll_tokenizer"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **special).save_pretrained(folder)
    return folder
