"""The code of a notebook, as one text: what is compared with answers and followed.

A notebook's file is JSON, with each line of a cell as a string and what came out of it beside. Code
that was pasted into a cell stands there in no form that an answer has. The invariant: the text is
the sources of its cells in their order, and nothing that running them changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ENDING = ".ipynb"


def code_of(text: str, file: str) -> str:
    """A file's text, or of a notebook that can be read the sources of its cells."""
    if not file.endswith(ENDING):
        return text
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "\n\n".join(_sources(notebook)) + "\n" if isinstance(notebook, dict) else text


def _sources(notebook: dict[str, Any]) -> Iterator[str]:
    cells = notebook.get("cells")
    for cell in cells if isinstance(cells, list) else ():
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if isinstance(source, str) and source.strip():
            yield source.rstrip("\n")
