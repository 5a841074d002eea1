"""The database's schema, as numbered migrations that are never edited once released.

What a row means stands beside its table.

Times are Unix seconds, yes and no are 1 and 0, NULL is *unknown*, lists and mappings are JSON.
`PRAGMA user_version` is the number of migrations applied, so that a program meeting a newer
database knows at once that it must not touch it.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

migrations = Migrations("qi-learn")


@migrations()
def m001_what_happened(db: Database) -> None:
    _run(
        db,
        # One row per event ever taken in; its id is what makes a line of the spool count once. The
        # body of a turn is not kept here: it is in `turns`. `ts` is when it happened, `taken` when
        # it came into this database.
        """
        CREATE TABLE events (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, ts REAL NOT NULL, source TEXT NOT NULL,
            author TEXT NOT NULL, project TEXT, body TEXT, taken REAL NOT NULL
        )
        """,
        "CREATE INDEX events_by_kind ON events (kind, ts)",
        # One row per distinct message at one place of a conversation: hash = sha256(parent hash,
        # message), no parent for the first. Two rows with one parent are a fork. Answers are
        # messages too, so a client that sends its history again finds all of it here but the new
        # tail.
        """
        CREATE TABLE messages (
            hash TEXT PRIMARY KEY, parent TEXT REFERENCES messages (hash), role TEXT NOT NULL,
            content TEXT NOT NULL, extra TEXT
        )
        """,
        "CREATE INDEX messages_by_parent ON messages (parent)",
        # One row per request and its answer. `tip` is the last message of the request, `answer` the
        # answer's message below it. `redacted`: something was taken out before the row was written.
        # `dirty`: its evidence changed since it was scored. The last four are what the classifier
        # said.
        """
        CREATE TABLE turns (
            id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, model_asked TEXT NOT NULL,
            model_answered TEXT NOT NULL, model_digest TEXT, tip TEXT REFERENCES messages (hash),
            answer TEXT NOT NULL REFERENCES messages (hash), started REAL NOT NULL,
            ended REAL NOT NULL, options TEXT, request TEXT, status INTEGER NOT NULL,
            cancelled INTEGER NOT NULL, complete INTEGER NOT NULL, done_reason TEXT,
            prompt_tokens INTEGER, answer_tokens INTEGER, session TEXT, project TEXT, "commit" TEXT,
            context TEXT, redacted INTEGER NOT NULL, dirty INTEGER NOT NULL DEFAULT 1,
            learning_type TEXT, complexity TEXT, domain TEXT, tools TEXT
        )
        """,
        "CREATE INDEX turns_by_time ON turns (ended)",
        "CREATE INDEX turns_by_project ON turns (project, ended)",
        "CREATE INDEX turns_by_tip ON turns (tip)",
        "CREATE INDEX turns_by_answer ON turns (answer)",
        "CREATE INDEX turns_dirty ON turns (started) WHERE dirty",
        # One row per code block, tool edit or completion of a turn, and what became of it; columns
        # as in `records.Suggestion`.
        """
        CREATE TABLE suggestions (
            turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
            text TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, language TEXT,
            state TEXT NOT NULL, file TEXT, name TEXT, before TEXT, after TEXT, region TEXT,
            similarity REAL, placed_at REAL, touched_at REAL, settled_at REAL, final_text TEXT,
            "commit" TEXT, reverted INTEGER NOT NULL, match_method TEXT, match_confidence REAL,
            PRIMARY KEY (turn_id, ordinal)
        )
        """,
        "CREATE INDEX suggestions_by_state ON suggestions (state)",
        # How far each file of the spool is taken in, written with the rows it gave. `bad_bytes`:
        # how long its file in `spool/bad` is, so that a drain that died after writing there, and
        # before this row, does not file a line twice. The row goes when the file has gone.
        "CREATE TABLE spool_files (name TEXT PRIMARY KEY, offset INTEGER NOT NULL, bad_bytes "
        "INTEGER NOT NULL DEFAULT 0)",
    )


@migrations()
def m002_what_it_was_worth(db: Database) -> None:
    _run(
        db,
        # One row per rating a person gave. `asked` is the turn as it was named (an id, or `last`);
        # `turn_id` is NULL until that turn is known: then the rating is kept and waits.
        # `match_method` and `match_confidence` say how the turn was found. Of several ratings of a
        # turn the newest counts.
        """
        CREATE TABLE ratings (
            id TEXT PRIMARY KEY, ts REAL NOT NULL, asked TEXT NOT NULL, project TEXT,
            turn_id TEXT REFERENCES turns (id) ON DELETE CASCADE,
            rating INTEGER CHECK (rating BETWEEN 1 AND 5), correction TEXT, comment TEXT,
            match_method TEXT, match_confidence REAL
        )
        """,
        "CREATE INDEX ratings_by_turn ON ratings (turn_id, ts)",
        # One row per turn of which something was seen to become: the implicit half of
        # `records.Feedback`.
        """
        CREATE TABLE feedback (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, accepted INTEGER,
            modified INTEGER, final_version TEXT, time_to_accept REAL, correction TEXT,
            match_method TEXT, match_confidence REAL
        )
        """,
        # One row per turn: `records.Outcome`, as it was joined from the commands below.
        """
        CREATE TABLE outcomes (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, compiles INTEGER,
            tests_pass INTEGER, deployed INTEGER, performance_change REAL, bug_introduced INTEGER
        )
        """,
        # One row per command run through `qi-learn run`; `value` is the number a benchmark printed,
        # `commit` what was checked out.
        """
        CREATE TABLE commands (
            id TEXT PRIMARY KEY, ts REAL NOT NULL, project TEXT NOT NULL, kind TEXT NOT NULL,
            command TEXT NOT NULL, exit_code INTEGER NOT NULL, seconds REAL NOT NULL,
            failed INTEGER, passed INTEGER, "commit" TEXT, value REAL
        )
        """,
        "CREATE INDEX commands_by_project ON commands (project, ts)",
        # One row per scored turn: `records.Score`, reasons included.
        """
        CREATE TABLE scores (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, suggestion_score REAL,
            confidence REAL NOT NULL, target_score REAL, target_text TEXT, signals TEXT,
            target_reasons TEXT, scored_at REAL NOT NULL
        )
        """,
        "CREATE INDEX scores_by_target ON scores (target_score)",
    )


@migrations()
def m003_what_was_learned(db: Database) -> None:
    _run(
        db,
        # One row per learning cycle, as its events told it; `updated` is the time of the newest of
        # them. Plan, result and verdict are the records, as JSON.
        """
        CREATE TABLE runs (
            id TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT, started REAL NOT NULL,
            updated REAL NOT NULL, parent TEXT, fresh INTEGER, plan TEXT, train TEXT, verdict TEXT
        )
        """,
        # Which turn was in which cycle's data set. No reference to `turns`: what a version learned
        # stays known when the turn itself is forgotten.
        """
        CREATE TABLE run_examples (
            run_id TEXT NOT NULL REFERENCES runs (id), turn_id TEXT NOT NULL, hash TEXT NOT NULL,
            split TEXT NOT NULL, PRIMARY KEY (run_id, turn_id, hash)
        )
        """,
        "CREATE INDEX run_examples_by_turn ON run_examples (turn_id)",
        # One row per version of the model: `records.Release`. `retired` is when its files were
        # deleted.
        """
        CREATE TABLE releases (
            version TEXT PRIMARY KEY, model TEXT NOT NULL, digest TEXT NOT NULL,
            created REAL NOT NULL, base_digest TEXT NOT NULL, parent TEXT, run_id TEXT,
            adapter TEXT, adapter_digest TEXT, pinned INTEGER NOT NULL, retired REAL
        )
        """,
        # One row per move of the alias, and per release made or retired: the history that
        # `deploy.json` has in short.
        """
        CREATE TABLE moves (
            id TEXT PRIMARY KEY, ts REAL NOT NULL, action TEXT NOT NULL, version TEXT NOT NULL,
            alias TEXT, previous TEXT
        )
        """,
    )


@migrations()
def m004_who_changed_what(db: Database) -> None:
    _run(
        db,
        # One row per change of model or data, for ever: hash = sha256(previous hash, ts, what,
        # body). AUTOINCREMENT remembers the last number given, so that cutting off the end shows as
        # well.
        """
        CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT, ts REAL NOT NULL, what TEXT NOT NULL,
            body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE
        )
        """,
        "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE (ABORT, "
        "'the audit journal is append-only'); END",
        "CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE (ABORT, 'the "
        "audit journal is append-only'); END",
    )


@migrations()
def m006_what_is_found_out_once(db: Database) -> None:
    _run(
        db,
        # One row per answer that was looked at: `records.AnswerFacts`. They do not change with what
        # becomes of it. They count for as long as `project` is the turn's own.
        """
        CREATE TABLE answer_facts (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, project TEXT,
            parses INTEGER, findings INTEGER, lines INTEGER NOT NULL, names INTEGER NOT NULL,
            names_used INTEGER, found_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
        # `joined`: what the command says of the suggestions placed in its project is in `outcomes`.
        "ALTER TABLE commands ADD COLUMN joined INTEGER NOT NULL DEFAULT 0",
        "UPDATE commands SET joined = 1",
        "CREATE INDEX commands_unjoined ON commands (ts) WHERE NOT joined",
    )


def _run(db: Database, *statements: str) -> None:
    """Run statements one by one: `executescript` would end the migration's transaction."""
    for statement in statements:
        db.execute(statement)
