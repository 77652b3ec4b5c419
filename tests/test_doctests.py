"""The examples in docstrings."""

import doctest
import importlib

import pytest

from tests.test_rules import MODULES

EXAMPLES = [name for name, file in MODULES.items() if ">>> " in file.read_text()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
