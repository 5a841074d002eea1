"""Write the generated blocks of `docs/`, or check them.

python -m scripts.reference           write them
python -m scripts.reference --check   change nothing; fail, and name the pages that differ
python -m scripts.reference --site    look through the pages and the built site (`site.py`)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .blocks import outdated
from .site import problems

ROOT = Path(__file__).parent.parent.parent


def main(words: Sequence[str]) -> int:
    """The exit code: 0, or 1 if something is wrong."""
    if "--site" in words:
        found = problems(ROOT)
        sys.stderr.write("".join(f"docs: {problem}\n" for problem in found))
        return 1 if found else 0
    try:
        pages = outdated(ROOT)
    except (LookupError, OSError) as error:
        sys.stderr.write(f"docs: {error}\n")
        return 1
    for page, text in pages.items():
        if "--check" in words:
            sys.stderr.write(f"docs: {page.relative_to(ROOT)} is not what the code says\n")
        else:
            page.write_text(text, encoding="utf-8")
            sys.stderr.write(f"docs: {page.relative_to(ROOT)} is written anew\n")
    if pages and "--check" in words:
        sys.stderr.write("docs: run scripts/docs and commit what it wrote\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
