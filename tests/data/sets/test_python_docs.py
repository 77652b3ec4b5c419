"""The embedded default corpus."""

from pydoc_data.topics import topics

from lit_mlm.data.sets.python_docs import PythonDocsDataModule


def test_all_topics_each_in_one_split() -> None:
    parts = PythonDocsDataModule().load_documents({"train"})
    assert {name: len(part) for name, part in parts.items() if name != "train"} == {
        "val": round(0.1 * len(topics)),
        "test": round(0.1 * len(topics)),
    }
    assert sorted(text for part in parts.values() for text in part["text"]) == sorted(topics.values())
