"""The redactor of a home: its key lies beside its database."""

from __future__ import annotations

from qi_learn.redact import Redactor, load_redactor
from qi_learn.store.database import Store


def redactor_of(store: Store) -> Redactor:
    """The redactor of the store's home, with its key; made once for each open store.

    So what it takes out is noted once (`redact/seen_secrets.py`). Raises StoreError if the key
    cannot be read or made.
    """
    if store.redactor is None:
        store.redactor = load_redactor(store.path.with_name("redaction.key"))
    return store.redactor
