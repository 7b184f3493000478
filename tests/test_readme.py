"""README's numbers are those of the committed measurements and of the counter."""

import pathlib
import re

from benchmarks import table

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_is_the_committed_measurements():
    assert table.markdown_table() in README
    assert table.machine_line() in README


def test_documents_that_are_linked_exist():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_commands_in_the_documents_exist():
    texts = [README, *(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))]
    modules = {name for text in texts for name in re.findall(r"python -m ([a-z0-9_.]+)", text)}
    assert modules >= {"benchmarks.latency", "mobilenet_tf.predict"}
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
