"""Secrets out of texts: what counts as one, and what stands in its place.

Called by all that stores what a person typed (`store`), and by `dataset` and `gate`, which look
once more.
May import the vocabulary alone.
Never writes a text, asks a provider whether a secret is valid, or keeps one.
"""

from __future__ import annotations

from qi_learn.redact.catalogue import catalogue_line
from qi_learn.redact.known_values import KnownValues
from qi_learn.redact.literals import looks_random
from qi_learn.redact.redacted import Redacted, merged, together
from qi_learn.redact.redaction_key import ensure_key, load_redactor, load_seen
from qi_learn.redact.redactor import (
    Redactor,
    find_secrets,
    has_placeholder,
    holds_secret,
    secret_spans,
)
from qi_learn.redact.rules_version import rules_version
from qi_learn.redact.seen_secrets import NOTHING_SEEN, SeenSecrets
from qi_learn.redact.service_shapes import rules
from qi_learn.redact.spans import PLACEHOLDER

__all__ = [
    "NOTHING_SEEN",
    "PLACEHOLDER",
    "KnownValues",
    "Redacted",
    "Redactor",
    "SeenSecrets",
    "catalogue_line",
    "ensure_key",
    "find_secrets",
    "has_placeholder",
    "holds_secret",
    "load_redactor",
    "load_seen",
    "looks_random",
    "merged",
    "rules",
    "rules_version",
    "secret_spans",
    "together",
]
