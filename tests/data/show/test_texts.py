"""What `show` prints of labelled texts."""

import pytest

from lit_mlm import IMDBSentimentDataModule
from lit_mlm.data.show.examples import describe_examples
from lit_mlm.errors import InputError
from tests.conftest import FIXTURES


def test_texts_labels_and_rows(tiny_bert: str, cache_dir: str) -> None:
    options = {"tokenizer": tiny_bert, "cache_dir": cache_dir}
    data = IMDBSentimentDataModule(str(FIXTURES / "aclImdb"), window=14, long_texts="windows", **options)
    data.setup("test")
    lines = list(describe_examples(data, "test", indices=[11]))
    assert lines[0].startswith("test: 12 test texts, 2 labels")
    assert lines[2].startswith(f"text 11 ({FIXTURES}/aclImdb/test/pos/")
    num_windows = int((data.examples["test"].texts == 11).sum())
    assert lines[2].endswith(f"): pos, {num_windows} windows")
    assert len(lines) == 3 + num_windows
    assert all(line.startswith("  [CLS] ") and line.endswith(" [SEP]") for line in lines[3:])
    with pytest.raises(InputError, match="--num_blocks 2 has no effect on labelled texts"):
        list(describe_examples(data, "test", num_blocks=2))


def test_long_rows_are_shortened(tiny_bert: str, cache_dir: str) -> None:
    data = IMDBSentimentDataModule(str(FIXTURES / "aclImdb"), tokenizer=tiny_bert, cache_dir=cache_dir)
    data.setup("test")
    longest = int(data.examples["test"].lengths.argmax())
    (*_, line) = describe_examples(data, "test", indices=[longest])
    assert f"... {data.examples['test'].lengths[longest] - 40} more ..." in line
