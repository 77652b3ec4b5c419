"""Logits at chosen positions, against the dense net on one row at a time."""

import numpy as np
import pytest
import torch

from lit_mlm.errors import InputError
from lit_mlm.inference import masked_rows
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.inference.masked_rows import MaskedRow, compute_log_normalizer, iterate_logits, make_batches


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_logits_equal_those_of_the_dense_net_one_by_one(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked_rows, "TOKENS_ON_CPU", 40)
    net, tokenizer = load_masked_lm(request.getfixturevalue(model))
    net.train()
    draw = np.random.default_rng(1)
    rows = []
    for length in draw.integers(4, 15, 30).tolist():
        scored = draw.permutation(length)[: draw.integers(0, 4)].tolist()  # in any order, none in some
        ids = draw.integers(5, net.config.vocab_size, length)
        rows.append(MaskedRow(ids, scored, scored[:1]))
    found = torch.full((sum(len(row.scored) for row in rows), net.config.vocab_size), torch.nan)
    for numbers, logits in iterate_logits(net, tokenizer, rows):
        assert bool(found[numbers].isnan().all())
        found[numbers] = logits
    assert net.training
    net.eval()
    expected = []
    for row in rows:
        ids = torch.tensor(row.input_ids)
        ids[row.masked] = tokenizer.mask_token_id
        with torch.no_grad():
            expected.append(net(ids[None], attention_mask=torch.ones(1, len(ids)))[0][0, list(row.scored)])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_batches_hold_every_scored_row_once_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_rows, "LOGITS_PER_BATCH", 500)
    draw = np.random.default_rng(2)
    rows = [MaskedRow(np.ones(draw.integers(1, 80), np.int64), range(draw.integers(0, 8))) for _ in range(200)]
    batches = list(make_batches(rows, vocab_size=100, max_tokens=60))
    assert sorted(i for batch in batches for i in batch) == [i for i, row in enumerate(rows) if row.scored]
    for batch in batches:
        tokens = len(batch) * max(len(rows[i].input_ids) for i in batch)
        assert len(batch) == 1 or (tokens <= 60 and sum(len(rows[i].scored) for i in batch) <= 5)
    widths = [len(rows[i].input_ids) for batch in batches for i in batch]
    assert widths == sorted(widths, reverse=True)


def test_nan_is_refused() -> None:
    logits = torch.tensor([[0.0, 1.0], [torch.nan, 1.0]])
    assert compute_log_normalizer(logits[:1]).item() == pytest.approx(np.log(1 + np.e))
    with pytest.raises(InputError, match="the net gives NaN for some masks"):
        compute_log_normalizer(logits)
