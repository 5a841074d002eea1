"""Statements of migrations that are long: triggers that count domains, tables of forgetting, fates.

Like the migrations they are never edited once released.
"""

from __future__ import annotations

_ADDED = """
    INSERT INTO domains SELECT coalesce(NEW.project, ''), NEW.domain, 1
        WHERE NEW.domain IS NOT NULL
        ON CONFLICT DO UPDATE SET turns = turns + 1;
"""
_TAKEN = """
    UPDATE domains SET turns = turns - 1
        WHERE project = coalesce(OLD.project, '') AND domain = OLD.domain;
"""
DOMAIN_TRIGGERS = (
    f"CREATE TRIGGER domain_added AFTER INSERT ON turns BEGIN {_ADDED} END",
    f"CREATE TRIGGER domain_taken AFTER DELETE ON turns BEGIN {_TAKEN} END",
    "CREATE TRIGGER domain_changed AFTER UPDATE OF project, domain ON turns "
    f"BEGIN {_TAKEN} {_ADDED} END",
)
"""Triggers that count turns by project and domain."""

FORGETTING = (
    # `never_learn`: kept for `log`, no data set may have it (`forget --keep-record`). `texts_gone`:
    # when its texts went because they had grown old; NULL while they are there.
    "ALTER TABLE turns ADD COLUMN never_learn INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE turns ADD COLUMN texts_gone REAL",
    "CREATE INDEX turns_with_texts ON turns (ended) WHERE texts_gone IS NULL",
    # What is old is found by these, and whether a context is still needed.
    "CREATE INDEX turns_by_context ON turns (context_id)",
    "CREATE INDEX commands_by_time ON commands (ts)",
    # One row per turn that was forgotten. `mark` is a keyed hash of what was asked and answered, by
    # which an importer's copy of it is known; `at` is when it was forgotten.
    "CREATE TABLE forgotten (turn_id TEXT PRIMARY KEY, mark BLOB NOT NULL, at REAL NOT NULL) "
    "WITHOUT ROWID",
    "CREATE INDEX forgotten_by_mark ON forgotten (mark)",
    # Keyed hashes of the messages that were a forgotten turn's own: a conversation that sends them
    # again is not stored.
    "CREATE TABLE forgotten_messages (mark BLOB PRIMARY KEY) WITHOUT ROWID",
    # What happened within such a span is not stored when it comes late; `project` is the keyed hash
    # of a directory, NULL for all.
    "CREATE TABLE forgotten_spans (since REAL NOT NULL, until REAL NOT NULL, project BLOB)",
    # Which runs had a turn in their data set that was forgotten since, or may not be learned.
    "CREATE TABLE forgotten_runs (run_id TEXT NOT NULL, turn_id TEXT NOT NULL, "
    "PRIMARY KEY (run_id, turn_id)) WITHOUT ROWID",
)
"""What forgetting and expiry remember; no text."""

STRAYS = ("CREATE INDEX turns_stray ON turns (ended) WHERE project IS NULL AND texts_gone IS NULL",)
"""The turns of no project whose texts go after a day."""

FATES = (
    # As in `records.Suggestion`: what an exact edit names, what its client said next, the sign that
    # was seen, what became of it by that (`inferred`) and with what the person said (`fate`).
    *(
        f"ALTER TABLE suggestions ADD COLUMN {name} TEXT"
        for name in ("path", "old", "call", "said", "sign", "inferred", "fate")
    ),
    # What stands beside it on its first and its last line, if it is a part of a line.
    "ALTER TABLE suggestions ADD COLUMN lead TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE suggestions ADD COLUMN trail TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX suggestions_by_fate ON suggestions (fate, turn_id)",
    "CREATE INDEX suggestions_by_call ON suggestions (call) WHERE call IS NOT NULL",
    # The program that asked, as it calls itself.
    "ALTER TABLE turns ADD COLUMN client TEXT",
    # What a person says became of an answer: `kept`, `edited`, `rejected` or `ignore`.
    "ALTER TABLE ratings ADD COLUMN mark TEXT",
    # When files were saved, in steps of ten seconds: what counts as working time besides requests.
    "CREATE TABLE saves (at INTEGER PRIMARY KEY) WITHOUT ROWID",
    "INSERT INTO backfill SELECT 'fates', 0 WHERE EXISTS (SELECT 1 FROM suggestions)",
)
"""What became of suggestions, and what decides it."""
