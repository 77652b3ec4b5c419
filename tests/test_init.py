"""The public names of the package."""

import os
import subprocess
import sys

import pytest
import torch

import lit_mlm


def test_public_names_are_where_they_are_said_to_be() -> None:
    names = set(lit_mlm.__all__) - {"__version__"}
    assert {"CoNLLDataModule", "TokenClassification", "load_tagger", "tag_texts", "tag_words"} <= names
    for name in names:
        assert getattr(lit_mlm, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'tag_word'"):
        _ = lit_mlm.tag_word


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, lit_mlm; print({'torch', 'lightning', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def place(tensor: torch.Tensor, offset: int) -> torch.Tensor:
    """A copy that begins `offset` numbers after where memory is allocated."""
    copy = torch.empty(tensor.numel() + offset)[offset:].view(tensor.shape)
    return copy.copy_(tensor)


def test_products_round_the_same_at_any_address() -> None:
    """MKL by itself gives up to 16 results on CPUs of AMD with AVX-512."""
    generator = torch.Generator().manual_seed(0)
    row, weight = torch.randn(1, 100, generator=generator), torch.randn(150, 100, generator=generator)
    offsets = range(16)
    products = [place(row, i) @ place(weight, j).T for i in offsets for j in offsets]
    assert all(torch.equal(product, products[0]) for product in products)


@pytest.mark.parametrize(("given", "used"), [(None, "AUTO,STRICT"), ("", ""), ("AVX2,STRICT", "AVX2,STRICT")])
def test_rounding_that_is_given_holds(given: str | None, used: str) -> None:
    code = "import os, lit_mlm; print(os.environ['MKL_CBWR'])"
    environment = {key: value for key, value in os.environ.items() if key != "MKL_CBWR"}
    environment |= {} if given is None else {"MKL_CBWR": given}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == used
