"""The public names of the package."""

import subprocess
import sys

import pytest

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
