"""Cross entropy in the memory of its logits against that of torch."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_mlm.nets import cross_entropy
from lit_mlm.nets.cross_entropy import sum_cross_entropy


def draw(num: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits up to about 20, of a vocabulary of 50, and labels."""
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(num, 50, generator=generator)).to(dtype)
    return logits, torch.randint(50, (num,), generator=generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num", [0, 1, 7, 64])
def test_loss_and_gradient_equal_those_of_torch(num: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "LOGITS_PER_CHUNK", 10 * 50)
    values, labels = draw(num, dtype)
    found, expected = (values.clone().requires_grad_() for _ in range(2))
    loss, gold = sum_cross_entropy(found * 1, labels), F.cross_entropy(expected.float(), labels, reduction="sum")
    torch.testing.assert_close(loss, gold, rtol=1e-6, atol=0)
    for each in (loss, gold):
        (each * 3).backward()
    assert found.grad is not None
    assert expected.grad is not None
    rounding = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 0.0}[dtype]
    torch.testing.assert_close(found.grad, expected.grad, rtol=rounding, atol=rounding / 1000)


def test_gradients_take_the_place_of_the_logits() -> None:
    values, labels = draw(8)
    logits = values.requires_grad_() * 1
    (sum_cross_entropy(logits, labels) * 2).backward()
    assert values.grad is not None
    assert torch.equal(logits, values.grad)


def test_a_second_backward_pass_is_refused() -> None:
    values, labels = draw(8)
    loss = sum_cross_entropy(values.requires_grad_() * 1, labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        loss.backward()
    loss = sum_cross_entropy(values * 1, labels)
    with pytest.raises(RuntimeError, match="one backward pass"):
        torch.autograd.grad(loss, values, create_graph=True)


def test_logits_are_left_without_a_backward_pass() -> None:
    logits, labels = draw(8)
    before = logits.clone()
    loss = sum_cross_entropy(logits, labels)
    with torch.no_grad():
        assert torch.equal(sum_cross_entropy(logits.requires_grad_(), labels), loss)
    assert torch.equal(logits, before)
    assert torch.equal(loss, F.cross_entropy(before, labels, reduction="sum"))
