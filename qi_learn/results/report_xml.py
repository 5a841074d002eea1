"""XML that other programs write as a report, and that may be anything.

Entities that a file declares itself are not expanded: such a file is no report.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree


def report_root(text: str, *tags: str) -> ElementTree.Element | None:
    """The outermost element of a report; None if it is none, or has none of these names."""
    if "<!ENTITY" in text:
        return None
    try:
        root = ElementTree.fromstring(text.encode("utf-8", "replace"))
    except (ElementTree.ParseError, ValueError):
        return None
    return root if root.tag in tags else None
