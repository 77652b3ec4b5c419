"""The audit of labels."""

import json
from pathlib import Path

from lit_mlm import LabelledFilesDataModule, TextClassification
from lit_mlm.data.audit.report import audit
from lit_mlm.data.audit.table import format_report


def test_labels_are_counted_and_contradictions_found(tiny_bert: str, cache_dir: str, tmp_path: Path) -> None:
    rows = {
        "train": [("a great film", "pos"), ("dull", "neg"), ("a great  film", "neg")],
        "val": [("odd", "pos")],
        "test": [("dull", "pos")],
    }
    for split, texts in rows.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in texts]
        (tmp_path / f"{split}.jsonl").write_text("\n".join([*lines, '{"text": "unlabelled"}']))
    files = {f"{split}_files": str(tmp_path / f"{split}.jsonl") for split in rows}
    data = LabelledFilesDataModule(**files, cache_dir=cache_dir, window=5)
    report = audit(data, TextClassification(tiny_bert))
    assert report["labels"] == {"train": {"neg": 2, "pos": 1}, "val": {"pos": 1}, "test": {"pos": 1}}
    assert report["limit"] == 5
    assert report["unreadable"]["train"]["damaged"]["num"] == 1
    place = f"{tmp_path}/train.jsonl, line"
    first, *others = report["inconsistent_texts"]["examples"]
    assert first == {"first": f"{place} 1", "second": f"{place} 3"}
    assert [other["first"] for other in others] == [f"{place} 2"]
    lines = list(format_report(report))
    assert any(line.split() == ["label", "neg", "2", "0", "0"] for line in lines)
    assert "repeated texts with different labels: 2" in lines
