"""A checkpoint as a folder that appears whole."""

from pathlib import Path

import pytest
from transformers import AutoModelForTokenClassification

from lit_mlm.inference import export
from lit_mlm.inference.export import export_checkpoint


def test_what_a_kill_left_is_gone(news_tagger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: object) -> str:
        raise SystemExit(137)

    checkpoint, folder = Path(news_tagger).parent / "last.ckpt", tmp_path / "hf"
    monkeypatch.setattr(export, "write_model_card", die)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)  # which a killed process has no time for
    with pytest.raises(SystemExit):
        export_checkpoint(checkpoint, folder)
    monkeypatch.undo()
    assert not folder.exists()
    assert len(list(tmp_path.iterdir())) == 1
    export_checkpoint(checkpoint, folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert {path.stat().st_mode for path in folder.iterdir()} == {checkpoint.stat().st_mode}  # by the umask
    AutoModelForTokenClassification.from_pretrained(folder)
