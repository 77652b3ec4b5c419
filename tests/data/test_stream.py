"""A cache of tokens appears whole, and nothing else does."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from lit_mlm.data import stream
from lit_mlm.data.documents import TEXT
from lit_mlm.data.stream import tokenize_batch, tokenize_documents


def test_stopped_tokenising_leaves_nothing_half_written(
    tmp_path: Path, wordpiece: PreTrainedTokenizerFast, reviews: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = 50 * reviews  # two batches of `map`
    documents, cache_file = Dataset.from_dict({TEXT: texts}), tmp_path / "tokens" / f"{'a' * 32}.arrow"
    (cache_file.parent / f".{cache_file.stem}.unfinished").mkdir(parents=True)  # of a process that was killed
    (cache_file.parent / f".{cache_file.stem}.unfinished" / "tmp1").touch()

    def stop(batch: dict[str, list[str]], **options: Any) -> dict[str, Any]:
        if len(batch[TEXT]) == 1000:
            return tokenize_batch(batch, **options)
        assert list(tmp_path.rglob("tmp*"))  # of `datasets`
        raise SystemExit(143)

    monkeypatch.setattr(stream, "tokenize_batch", stop)
    with pytest.raises(SystemExit):
        tokenize_documents(documents, wordpiece, True, cache_file, None, "tokenising")
    assert [path for path in cache_file.parent.iterdir() if path.suffix != ".lock"] == []
    monkeypatch.undo()
    tokens = tokenize_documents(documents, wordpiece, True, cache_file, None, "tokenising")
    assert tokens.ids.tolist() == [token for text in texts for token in wordpiece(text)["input_ids"]]
    assert [path for path in cache_file.parent.iterdir() if path.suffix != ".lock"] == [cache_file]
