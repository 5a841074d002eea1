"""The redactor of a home: its key lies beside its database."""

from __future__ import annotations

from qi_learn.redact import Redactor, load_redactor
from qi_learn.store.database import Store


def redactor_of(store: Store) -> Redactor:
    """The redactor of the store's home, with its key.

    Raises StoreError if the key cannot be read or made.
    """
    return load_redactor(store.path.with_name("redaction.key"))
