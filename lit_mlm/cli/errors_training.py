"""Reads what a run was trained on, and parts of speech, for `python -m lit_mlm errors`."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from lit_mlm.cli.plain import print_error
from lit_mlm.cli.texts import refuse
from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.tagged.columns import read_columns
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.schemes import convert_sentences, find_bad_tag, respell_sentences
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.metrics.text_errors import TrainingTexts


def read_training_sentences(data: TaggedDataModule) -> list[TaggedSentence]:
    """Reads the training sentences, with tags in the scheme of the labels, after a setup without them."""
    if "train" in data.sentences:
        return data.sentences["train"]
    read = respell_sentences({"train": data.load_sentences({"train"})["train"]})["train"]
    source = data.find_scheme(read)
    if data.skip_bad:
        read = [sentence for sentence in read if find_bad_tag(sentence, source, data.strict_tags) is None]
    return convert_sentences(read, source, data.scheme, data.strict_tags).sentences


def read_training_texts(data: LabelledDataModule) -> TrainingTexts:
    """Reads the training texts and their labels, after a setup without them."""
    texts = data.texts["train"] if "train" in data.texts else data.load_labelled({"train"})["train"]
    return TrainingTexts(("\n".join(text.columns), text.labels or (), text.place) for text in texts)


def read_training_tokens(data: BlocksDataModule) -> Any:
    """Reads the training text and tokenises it, or takes its tokens from the cache."""
    source = data.samples.get_source("train")
    if source in data.texts:
        return data.texts[source].tokens
    documents = data.load_texts({"train"})[source]
    per_document = data.blocks.special_tokens == "document"
    return data.reader.tokenize(source, documents, data.tokenizer, per_document, True, data.masks.segmenter).tokens


def read_parts_of_speech(path: Path) -> dict[str, str]:
    """Reads the most frequent tag of each word of a column file, and of each word in lower case."""
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in read_columns(path, "second", on_bad=refuse, tell=print_error):
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            for spelling in {word, word.lower()}:
                tags[spelling][tag] += 1
    if not tags:
        raise InputError(f"--pos {path} has no words")
    return {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
