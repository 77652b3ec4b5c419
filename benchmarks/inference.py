"""Fill, tag and score against the pipelines of `transformers` and minicons.

    python -m benchmarks.inference --task fill --model DIR_OR_NAME --data FOLDER [--num_texts 400]

All sides read the same lines of the ``.txt`` files of a folder. ``peer`` is the pipeline, or for ``score`` minicons, by
within-word left-to-right scores. Heads that the model lacks are random; they cost the same. The mean score must be the
same on both sides; the tests compare what `tag` finds, whose words and groups differ by design.
"""

import random
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer, pipeline

from benchmarks.collating import find_texts
from benchmarks.sides import Benchmark, Figures, measuring, save_model
from lit_mlm.inference.fill import fill_masks
from lit_mlm.inference.score import score_texts
from lit_mlm.inference.tag import tag_texts

LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for prefix in "BI")]
TASKS = ("fill", "tag", "score")


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of both sides."""
    parser.add_argument("--model", required=True, help="name on the Hub, or folder")
    parser.add_argument("--data", required=True, help="folder with *.txt files, a sentence a line")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--num_texts", type=int, default=400)
    parser.add_argument("--batch_size", type=int, default=4, help="of the peer; 4 is its best for such lines")


def read_texts(options: Namespace) -> list[str]:
    """Draws lines of 3 to 80 words, by a fixed seed."""
    texts = (file.read_text("utf-8", errors="replace") for file in find_texts(options.data, 100))
    lines = (line.strip() for text in texts for line in text.split("\n"))
    return random.Random(0).sample(sorted({line for line in lines if 3 <= len(line.split()) <= 80}), options.num_texts)


def mask(texts: list[str], token: str) -> list[str]:
    """Replaces a word of each text by a mask."""
    rng, masked = random.Random(1), []
    for text in texts:
        words = text.split()
        words[rng.randrange(len(words))] = token
        masked.append(" ".join(words))
    return masked


def score_by_minicons(net: Any, tokenizer: Any, texts: list[str], size: int) -> list[float]:
    """Pseudo-log-likelihoods, in nats."""
    from minicons import scorer

    theirs = scorer.MaskedLMScorer(net.eval(), "cpu", tokenizer=tokenizer)
    scores: list[float] = []
    for first in range(0, len(texts), size):
        # Encoded here, as minicons calls a method that tokenizers no longer have.
        batch = tokenizer(texts[first : first + size], padding=True, return_tensors="pt")
        scores += theirs.sequence_score(batch, reduction=lambda x: x.sum().item(), PLL_metric="within_word_l2r")
    return scores


def run(options: Namespace, is_ours: bool) -> Figures:
    """The figures of a side."""
    figures: Figures = {}
    labels: dict[str, Any] = {}
    if options.task == "tag":
        labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    auto_class: Any = AutoModelForTokenClassification if options.task == "tag" else AutoModelForMaskedLM
    with TemporaryDirectory() as folder:
        save_model(options.model, auto_class, Path(folder), **labels)
        net, tokenizer = auto_class.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        texts, size = read_texts(options), options.batch_size
        make: Any = partial(pipeline, model=net, tokenizer=tokenizer, device="cpu")
        found: Any
        if options.task == "fill":
            texts = mask(texts, tokenizer.mask_token)
            theirs = make("fill-mask")
            with measuring(figures, "fill"):
                found = fill_masks(net, tokenizer, texts) if is_ours else theirs(texts, batch_size=size)
            scores = [(each[0] if is_ours else each)[0]["score"] for each in found]
        elif options.task == "tag":
            theirs = make("token-classification", aggregation_strategy="first")
            with measuring(figures, "tag"):
                found = tag_texts(net, tokenizer, texts) if is_ours else theirs(texts, batch_size=size)
            return figures
        else:
            with measuring(figures, "score"):
                found = (
                    [each.score for each in score_texts(net, tokenizer, texts)]
                    if is_ours
                    else score_by_minicons(net, tokenizer, texts, size)
                )
            scores = found
    return figures | {"same mean score": sum(scores) / len(scores)}


SIDES = {"peer": partial(run, is_ours=False), "lit-mlm": partial(run, is_ours=True)}
BENCHMARK = Benchmark("benchmarks.inference", __doc__, SIDES, add_options)

if __name__ == "__main__":
    BENCHMARK.main()
