"""Layouts of published corpora, each in a few lines of its own, and options that override what is recognised."""

from pathlib import Path
from typing import Any

import pytest

from lit_mlm.data.tagged.columns import parse_columns
from lit_mlm.data.tagged.layouts import Column, ColumnOptions
from lit_mlm.data.tagged.schemes import respell_sentences
from lit_mlm.errors import InputError

CONLL_2012 = """#begin document (nw/a/00/a_0001); part 000
nw/a/00/a_0001   0   0   In   IN   (TOP(S(PP*   -   -   -   Speaker#1   *   *   -
nw/a/00/a_0001   0   1   New   NNP   (NP*   -   -   -   Speaker#1   (GPE*   *   (3
nw/a/00/a_0001   0   2   York   NNP   *)   -   -   -   Speaker#1   *)   *   3)

nw/a/00/a_0001   0   0   Mira   PRP   (TOP*   -   -   -   Speaker#1   (PERSON)   *   (V*)   -
nw/a/00/a_0001   0   1   ran   VBD   *)   -   -   -   Speaker#1   *   (V*)   *   -

#end document
#begin document (nw/a/00/a_0002); part 000
nw/a/00/a_0002   0   0   Monday   NNP   *   -   -   -   Speaker#1   (DATE)   *   -
#end document
"""

CONLL_U = """# newdoc id = a
# sent_id = 1
# text = Vamos al mar
1\tVamos\tir\tVERB\tV\t_\t0\troot\t_\t_
2-3\tal\t_\t_\t_\t_\t_\t_\t_\t_
2\ta\ta\tADP\tP\t_\t4\tcase\t_\t_
3\tel\tel\tDET\tD\t_\t4\tdet\t_\t_
4\tmar\tmar\tNOUN\tN\t_\t1\tobl\t_\t_
4.1\tx\tx\tVERB\tV\t_\t_\t_\t_\t_

# sent_id = 2
1\t#\t#\tSYM\tS\t_\t0\troot\t_\t_

# newdoc id = b
1\tO\to\tX\tX\t_\t0\troot\t_\t_
"""

HIPE = """TOKEN\tNE-COARSE-LIT\tNE-FINE-LIT\tMISC
# language = en
# document_id = NZZ-1
# segment_iiif_link = _
Mira\tB-pers\tB-pers.ind\t_
# segment_iiif_link = _
Kell\tI-pers\tI-pers.ind\t_
.\tO\tO\tNoSpaceAfter

# document_id = NZZ-2
Bern\tB-loc\tB-loc.adm\t_
"""

LAYOUTS: dict[str, tuple[str, Column, str]] = {
    "CoNLL-2002": ("Oslo NP B-LOC\n, Fc O\n\nEl DA O\n", "last", "Oslo/B-LOC ,/O | El/O"),
    "CoNLL-2002, Dutch": ("-DOCSTART- -DOCSTART- O\nDe Art O\n\nBelga N B-ORG\n", "last", "De/O | Belga/B-ORG"),
    "CoNLL-2003, German": (
        "-DOCSTART- -X- -X- -X- O\n\nIn in APPR I-PC O\nBonn Bonn NE I-NC I-LOC\n",
        "last",
        "In/O Bonn/I-LOC",
    ),
    "CoNLL-2012": (CONLL_2012, "last", "In/O New/B-GPE York/I-GPE | Mira/B-PERSON ran/O | Monday/B-DATE"),
    "CoNLL-2012, parts of speech": (CONLL_2012, "second", "In/IN New/NNP York/NNP | Mira/PRP ran/VBD | Monday/NNP"),
    "OntoNotes 5 as BIO": ("What WP O\nMira NNP B-PERSON\n", "last", "What/O Mira/B-PERSON"),
    "GermEval 2014": (
        "#\thttp://example.org [2009-10-17]\n1\tDie\tO\tO\n2\tBonner\tB-ORG\tB-LOCderiv\n\n1\t#\tO\tO\n",
        "last",
        "Die/O Bonner/B-ORG | #/O",
    ),
    "index and part of speech": ("1 The NOUN _ O\n2 Mira PROPN _ B-PER\n", "last", "The/O Mira/B-PER"),
    "index from 0": ("0\tMira\tB-PER\n1\tran\tO\n", "last", "Mira/B-PER ran/O"),
    "index with a gap": ("1\tThe\tO\n3\tMira\tB-PER\n\n1\tran\tO\n2\t.\tO\n", "last", "The/O Mira/B-PER | ran/O ./O"),
    "index and part of speech, tagging": ("1 The NOUN _ O\n2 Mira PROPN _ B-PER\n", "second", "The/NOUN Mira/PROPN"),
    "WNUT-17": ("@mira\tO\n#oslo\tO\n\n#\tO\nOslo\tB-location\n", "last", "@mira/O #oslo/O | #/O Oslo/B-location"),
    "MIT movie": (
        "O\twhat\nB-ACTOR\tmira\nI-ACTOR\tkell\n\nO\tshow\n",
        "last",
        "what/O mira/B-ACTOR kell/I-ACTOR | show/O",
    ),
    "BC5CDR": ("Naloxone\tB\nacts\tO\n\n.\tO\n", "last", "Naloxone/B acts/O | ./O"),
    "NCBI": ("colon\tB-Disease\ncancer\tI-Disease\nis\tO\n", "last", "colon/B-Disease cancer/I-Disease is/O"),
    "JNLPBA": (
        "###MEDLINE:1\n\nIL-2\tB-DNA\ngene\tI-DNA\n\n###MEDLINE:2\n\nThe\tO\n",
        "last",
        "IL-2/B-DNA gene/I-DNA | The/O",
    ),
    "Few-NERD": ("Mira\tperson-artist/author\nran\tO\n\nhome\tO\n", "last", "Mira/person-artist/author ran/O | home/O"),
    "WikiANN": ("en:R.H.\tB-ORG\nen::\tO\n\nen:Oslo\tB-LOC\n", "last", "R.H./B-ORG :/O | Oslo/B-LOC"),
    "MultiCoNER": (
        "# id 4d61-a546\tdomain=train\nit _ _ O\nOslo _ _ B-LOC\n\n# id 1bd8 x\nx _ _ O\n",
        "last",
        "it/O Oslo/B-LOC | x/O",
    ),
    "KPWr": (
        "-DOCSTART CONFIG FEATURES orth base ctag\n-DOCSTART FILE a\nMira\tMira\tsubst\tB-nam_liv\n\nto\tto\tqub\tO\n",
        "last",
        "Mira/B-nam_liv | to/O",
    ),
    "HIPE": (HIPE, "last", "Mira/B-pers Kell/I-pers ./O | Bern/B-loc"),
    "Universal Dependencies": (CONLL_U, "second", "Vamos/VERB a/ADP el/DET mar/NOUN | #/SYM | O/X"),
    "Universal NER": (
        "# sent_id = a\n1\tMira\tB-PER\t-\tA\n2\tran\tO\t-\tA\n3\t.\tO\t-\tA\n",
        "last",
        "Mira/B-PER ran/O ./O",
    ),
    "CoNLL-U Plus": (
        "# global.columns = ID FORM UPOS NER\n1\tMira\tPROPN\tB-PER\n2\tran\tVERB\tO\n",
        "last",
        "Mira/B-PER ran/O",
    ),
    "Penn": ("The\tDT\n#\t#\n5\tCD\n\n#\t#\n", "second", "The/DT #/# 5/CD | #/#"),
    "Brown": (
        "\n\tThe/at Jury/nn-tl 1/2/cd ./.\n\n\n\tIt/pps ran/vbd\n",
        "second",
        "The/at Jury/nn-tl 1/2/cd ./. | It/pps ran/vbd",
    ),
    "Stanford": ("The_DT dog_NN ._.\nIt_PRP ran_VBD\n", "second", "The/DT dog/NN ./. | It/PRP ran/VBD"),
    "Naver": ("1\tMira\tPER_B\n2\tran\t-\n3\t.\t-\n", "last", "Mira/B-PER ran/O ./O"),
    "BMES": ("银 B-ORG\n行 E-ORG\n在 O\n他 S-PER\n", "last", "银/B-ORG 行/E-ORG 在/O 他/S-PER"),
    "header": ("Word\tPOS\tNER\nMira\tNNP\tB-PER\nran\tVBD\tO\n", "last", "Mira/B-PER ran/O"),
    "header, parts of speech": ("Word\tPOS\tNER\nMira\tNNP\tB-PER\nran\tVBD\tO\n", "second", "Mira/NNP ran/VBD"),
}


def read(
    content: str, column: Column = "last", word_column: Any = None, tag_column: Any = None
) -> tuple[list[Any], list[str]]:
    """The sentences of a file, and what is told of it."""
    told: list[str] = []
    options = ColumnOptions(word_column, tag_column)
    found = list(parse_columns(Path("a.txt"), content.encode(), column, "utf-8", options=options, tell=told.append))
    return respell_sentences({"train": found})["train"], told


def show(sentences: list[Any]) -> str:
    pairs = [zip(sentence.words, sentence.tags, strict=True) for sentence in sentences]
    return " | ".join(" ".join(f"{word}/{tag}" for word, tag in sentence) for sentence in pairs)


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(name: str) -> None:
    content, column, expected = LAYOUTS[name]
    assert show(read(content, column)[0]) == expected


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("GermEval 2014", "its first column counts words, so words are column 2 and tags column 3"),
        ("index and part of speech", "its first column counts words, so words are column 2 and tags column 5"),
        ("Universal Dependencies", "its first column counts words, so words are column 2 and tags column 4"),
        ("CoNLL-2012", "it is laid out as CoNLL-2012, so words are column 4 and tags column 11"),
        ("MIT movie", "its first column has tags, so words are column 2 and tags column 1"),
        ("CoNLL-U Plus", "it names its columns, so words are column 2 and tags column 4"),
        ("WikiANN", "every word starts with 'en:', which is left out"),
        ("Brown", "each line is a sentence, whose words and tags are joined by '/'"),
        ("CoNLL-2002", None),
        ("MultiCoNER", None),
    ],
)
def test_what_is_recognised_is_told(name: str, told: str | None) -> None:
    advice = "; data.word_column and data.tag_column choose others" if told and "column" in told else ""
    assert read(*LAYOUTS[name][:2])[1] == ([f"a.txt: {told}{advice}"] if told else [])


def test_columns_by_option() -> None:
    content = LAYOUTS["GermEval 2014"][0]
    assert show(read(content, tag_column=4)[0]) == "Die/O Bonner/B-LOCderiv | #/O"
    assert read(content, word_column=2, tag_column=4)[1] == []
    assert show(read(content, word_column=1, tag_column=3)[0]) == "1/O 2/B-ORG | 1/O"
    assert show(read(CONLL_U, "second", tag_column=5)[0]) == "Vamos/V a/P el/D mar/N | #/S | O/X"
    assert show(read(HIPE, tag_column="NE-FINE-LIT")[0]) == "Mira/B-pers.ind Kell/I-pers.ind ./O | Bern/B-loc.adm"
    assert show(read("a\tb\tc\nx\tO\ty\n", word_column="c", tag_column="b")[0]) == "y/O"
    assert show(read("x O y\n", word_column=3, tag_column=2)[0]) == "y/O"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tag_column": 5}, r"data.tag_column is 5, but a.txt has 4 columns"),
        (
            {"word_column": "FORM"},
            r"data.word_column FORM names no column of a.txt: it has no header, so give a number",
        ),
        ({"word_column": 2, "tag_column": 2}, r"a.txt: column 2 can't have both words and tags; data.word_column and"),
        ({"word_column": 4}, r"column 4 can't have both words and tags"),
        ({"word_column": 0}, r"data.word_column must be at least 1, got 0"),
    ],
)
def test_columns_that_are_not_there(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("Mira NNP B-NP B-PER\n", **options)


def test_a_name_that_is_nearly_right() -> None:
    with pytest.raises(InputError, match=r"its columns are TOKEN, NE-COARSE-LIT.*; did you mean NE-FINE-LIT\?"):
        read(HIPE, tag_column="NE-FINE-LTI")


def test_documents_and_lines() -> None:
    assert [s.document for s in read(CONLL_2012)[0]] == [1, 1, 2]
    assert [s.document for s in read(HIPE)[0]] == [1, 2]
    assert [s.document for s in read(LAYOUTS["KPWr"][0])[0]] == [2, 2]
    assert [s.document for s in read(LAYOUTS["JNLPBA"][0])[0]] == [1, 2]
    first, second, third = read(CONLL_U, "second")[0]
    assert [sentence.document for sentence in (first, second, third)] == [1, 1, 2]
    assert [first.locate(word) for word in (0, 1, 3)] == [
        "a.txt, line 4 ('Vamos')",
        "a.txt, line 6 ('a')",
        "a.txt, line 8 ('mar')",
    ]
    assert second.first_line == 12


def test_numbers_are_words_elsewhere() -> None:
    """Words that are numbers are not taken for a count, nor a hash for a comment."""
    assert show(read("1 CD O\n\n2 CD O\nof IN O\n3 CD O\n")[0]) == "1/O | 2/O of/O 3/O"
    assert read("1 O\n2 O\n")[1] == []
    assert show(read("# O\n5 O\n\nWe O\n# O\n")[0]) == "#/O 5/O | We/O #/O"
    assert show(read("# B-X\n5 O\n")[0]) == "#/B-X 5/O"
    assert show(read("# newpar\n5 O\n")[0]) == "5/O"
    assert show(read("#oslo O\n5 O\n")[0]) == "#oslo/O 5/O"


def test_sentences_of_conll_2012_may_differ_in_columns_but_not_within() -> None:
    with pytest.raises(InputError, match=r"line 4: 12 columns separated by spaces, expected 13, as line 2 has"):
        read(CONLL_2012.replace("York   NNP   *)   -   -", "York   NNP   *)   -"))
