"""Masked language modelling, token and text classification on PyTorch Lightning.

Public names are imported when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from lit_mlm.upstream import ROUNDING

__version__ = "0.1.0"

os.environ.setdefault(ROUNDING, "AUTO,STRICT")  # read at the process's first product, and by those that it starts

_PUBLIC = {
    "MaskedLM": "lit_mlm.modules.masked_lm",
    "CoNLLDataModule": "lit_mlm.data.sets.conll",
    "TokenClassification": "lit_mlm.modules.token_classification",
    "IMDBSentimentDataModule": "lit_mlm.data.sets.imdb_sentiment",
    "LabelledFilesDataModule": "lit_mlm.data.sets.labelled_files",
    "TextClassification": "lit_mlm.modules.text_classification",
    "ELI5DataModule": "lit_mlm.data.sets.eli5",
    "IMDBDataModule": "lit_mlm.data.sets.imdb",
    "PythonDocsDataModule": "lit_mlm.data.sets.python_docs",
    "TextFilesDataModule": "lit_mlm.data.sets.text_files",
    "classify_texts": "lit_mlm.inference.classify",
    "load_classifier": "lit_mlm.inference.classify",
    "fill_jointly": "lit_mlm.inference.fill_jointly",
    "fill_masks": "lit_mlm.inference.fill",
    "embed_spans": "lit_mlm.inference.embed",
    "embed_texts": "lit_mlm.inference.embed",
    "embed_words": "lit_mlm.inference.embed",
    "load_encoder": "lit_mlm.inference.embed",
    "load_tagger": "lit_mlm.inference.tag",
    "score_pairs": "lit_mlm.inference.pairs",
    "score_texts": "lit_mlm.inference.score",
    "summarise_scores": "lit_mlm.inference.score",
    "tag_texts": "lit_mlm.inference.tag",
    "tag_words": "lit_mlm.inference.tag",
}

__all__ = [
    "CoNLLDataModule",
    "ELI5DataModule",
    "IMDBDataModule",
    "IMDBSentimentDataModule",
    "LabelledFilesDataModule",
    "MaskedLM",
    "PythonDocsDataModule",
    "TextClassification",
    "TextFilesDataModule",
    "TokenClassification",
    "__version__",
    "classify_texts",
    "embed_spans",
    "embed_texts",
    "embed_words",
    "fill_jointly",
    "fill_masks",
    "load_classifier",
    "load_encoder",
    "load_tagger",
    "score_pairs",
    "score_texts",
    "summarise_scores",
    "tag_texts",
    "tag_words",
]

if TYPE_CHECKING:
    from lit_mlm.data.sets.conll import CoNLLDataModule
    from lit_mlm.data.sets.eli5 import ELI5DataModule
    from lit_mlm.data.sets.imdb import IMDBDataModule
    from lit_mlm.data.sets.imdb_sentiment import IMDBSentimentDataModule
    from lit_mlm.data.sets.labelled_files import LabelledFilesDataModule
    from lit_mlm.data.sets.python_docs import PythonDocsDataModule
    from lit_mlm.data.sets.text_files import TextFilesDataModule
    from lit_mlm.inference.classify import classify_texts, load_classifier
    from lit_mlm.inference.embed import embed_spans, embed_texts, embed_words, load_encoder
    from lit_mlm.inference.fill import fill_masks
    from lit_mlm.inference.fill_jointly import fill_jointly
    from lit_mlm.inference.pairs import score_pairs
    from lit_mlm.inference.score import score_texts, summarise_scores
    from lit_mlm.inference.tag import load_tagger, tag_texts, tag_words
    from lit_mlm.modules.masked_lm import MaskedLM
    from lit_mlm.modules.text_classification import TextClassification
    from lit_mlm.modules.token_classification import TokenClassification


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
