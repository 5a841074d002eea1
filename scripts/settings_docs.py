"""Writes docs/settings.md from the docstrings in qi_learn/settings.py: run it after changing a
setting (a test compares the two).
"""

from pathlib import Path

from qi_learn.report.config import as_markdown

if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "settings.md").write_text(
        as_markdown(), encoding="utf-8"
    )
