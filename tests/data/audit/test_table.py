"""The tables of a report, word for word."""

from typing import Any

from lit_mlm.data.audit.documents import audit_documents
from lit_mlm.data.audit.sentences import audit_sentences
from lit_mlm.data.audit.table import format_report
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.text.tagging.schemes import find_scheme
from tests.data.audit.test_sentences import make

DOCUMENTS = """\
documents of OwnDataModule, tokenizer own
no test split: there is none

                                train    val
documents                           3      2
words                               7      6
tokens                              9      8
tokens per word (fertility)     1.286  1.333
words of several tokens         28.6%  33.3%
unknown tokens                      2      1
without tokens                      0      0
longer than 6 tokens                1      1
min tokens per document             2      1
p5 tokens per document              2      1
median tokens per document          2      4
p95 tokens per document             5      7
max tokens per document             5      7
mean tokens per document          3.0    4.0
exact duplicates                    1      0
near-duplicates (0.8)               0      0
exact duplicates of train                  0
near-duplicates of train (0.8)             1

tokens per document  train         val
1 to 1                   0           1  ####
2 to 3                   2  #####    0
4 to 7                   1  ###      1  ####

skipped in train: 1 empty, 1 undecodable
  a.txt is empty
  b.txt, line 1: byte 0xe9

words with unknown tokens (train): 'zoo' 2
words with unknown tokens (val): '!' 1

duplicates in train
  b.txt = a.txt
duplicates of train in val
  val 0 ~ (1.00) c.txt
"""

SENTENCES = """\
sentences of OwnDataModule, tokenizer own

                                train    val
sentences                           3      2
without words                       0      0
words                               6      3
tokens                              8      4
tokens per word (fertility)     1.333  1.333
words of several tokens         33.3%  33.3%
unknown tokens                      0      0
without tokens                      0      0
min tokens per sentence             2      1
p5 tokens per sentence              2      1
median tokens per sentence          3      2
p95 tokens per sentence             3      3
max tokens per sentence             3      3
mean tokens per sentence          2.7    2.0
words unseen in train               -  33.3%
wrong tags                          1      0
exact duplicates                    1      0
near-duplicates (0.8)               0      0
exact duplicates of train                  0
near-duplicates of train (0.8)             0
entities                            4      1
  seen in train                     -      0
  with another type only            -      0
  unseen in train                   -      1
  ORG                               2      0
  LOC                               1      0
  PER                               1      0
  MISC                              0      1

tokens per sentence  train            val
1 to 1                   0              1  ####
2 to 3                   3  ########    1  ####

words unseen in train (val): 'lamb' 1

wrong tags (train): 0 misspelt, 1 out of place, read as conlleval does
  train.txt, line 5 ('call'): tag 'I-LOC', expected B-LOC, as no entity of this type comes right before (IOB2)
tags unseen in train (val): B-MISC 1

entities with several types: 1
  'EU': ORG 1, PER 1
repeated sentences with different tags: 1
  train.txt, line 7 = train.txt, line 1

duplicates in train
  train.txt, line 7 = train.txt, line 1
"""


def make_head(kind: str, **more: Any) -> dict[str, Any]:
    head = {"kind": kind, "data": "OwnDataModule", "tokenizer": "own", "limit": None, "near_threshold": 0.8}
    return head | {"notes": [], "unreadable": {}} | more


def test_documents(conll_tokenizer: str) -> None:
    train = make_documents(["call zoo", "call\nzoo", "Blackburn lamb call"], ["a.txt", "b.txt", "c.txt"])
    splits = {"train": train, "val": make_documents(["Blackburn - lamb ! call", "."])}
    message = {"num": 1, "examples": ["a.txt is empty"]}, {"num": 1, "examples": ["b.txt, line 1: byte 0xe9"]}
    unreadable = {"empty": message[0], "undecodable": message[1], "damaged": {"num": 0, "examples": []}}
    head = make_head("documents", limit=6, notes=["no test split: there is none"], unreadable={"train": unreadable})
    report = head | audit_documents(splits, load_tokenizer(conll_tokenizer), 6, 0.8, 3)
    assert "\n".join(format_report(report)) + "\n" == DOCUMENTS


def test_sentences(conll_tokenizer: str) -> None:
    splits = {
        "train": make("train", "EU/B-ORG Blackburn/B-ORG", "to/O call/I-LOC", "EU/B-PER Blackburn/O"),
        "val": make("val", "lamb/B-MISC to/O", "call/O"),
    }
    tokenizer = load_tokenizer(conll_tokenizer)
    own = audit_sentences(splits, tokenizer, lambda s: find_scheme(x.tags for x in s), None, 0.8, 3)
    assert "\n".join(format_report(make_head("sentences") | own)) + "\n" == SENTENCES
