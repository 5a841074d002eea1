"""The database's schema, as numbered migrations that are never edited once released.

What a row means stands beside its table. Times are Unix seconds, yes and no are 1 and 0, NULL is
*unknown*, lists and mappings are JSON. `PRAGMA user_version` is the number of migrations applied,
so that a program meeting a newer database knows at once that it must not touch it.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from qi_learn.store.schema_statements import DOMAIN_TRIGGERS, FATES, FORGETTING, STRAYS

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
        # messages too: of a history that is sent again only the tail is new.
        """
        CREATE TABLE messages (
            hash TEXT PRIMARY KEY, parent TEXT REFERENCES messages (hash), role TEXT NOT NULL,
            content TEXT NOT NULL, extra TEXT
        )
        """,
        "CREATE INDEX messages_by_parent ON messages (parent)",
        # One row per request and its answer. `tip` is the last message of the request, `answer` the
        # answer's message below it. `redacted`: something was taken out before the row was written.
        # `dirty`: its evidence changed since it was scored. The last four are the classifier's.
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
        # One row per turn of which something became: the implicit half of `records.Feedback`.
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
def m005_what_is_paid_once(db: Database) -> None:
    _run(
        db,
        # One row per distinct part of a request (tools, system text, template, format) and per
        # distinct context of a project: an agent sends the same 42 kB of tools with every turn.
        # `turns.shape` names those of its request, {"tools": 3}; `context_id` is its context.
        # `backfill` brings the older turns into this form, in batches; `done` is how far it is.
        "CREATE TABLE shapes (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, value TEXT NOT "
        "NULL)",
        "ALTER TABLE turns ADD COLUMN shape TEXT",
        "ALTER TABLE turns ADD COLUMN context_id INTEGER REFERENCES shapes (id)",
        "CREATE TABLE backfill (name TEXT PRIMARY KEY, done INTEGER NOT NULL)",
        "INSERT INTO backfill SELECT 'shapes', 0 WHERE EXISTS (SELECT 1 FROM turns)",
        # What every round asks for, and in that order.
        "DROP INDEX turns_dirty",
        "CREATE INDEX turns_dirty ON turns (started, id) WHERE dirty",
        "CREATE INDEX turns_unclassified ON turns (started, id) WHERE learning_type IS NULL",
        # How many classified turns a project ('' if unknown) has in each domain. The triggers hold
        # it, whoever changes a turn.
        """
        CREATE TABLE domains (
            project TEXT NOT NULL, domain TEXT NOT NULL, turns INTEGER NOT NULL,
            PRIMARY KEY (project, domain)
        ) WITHOUT ROWID
        """,
        "INSERT INTO domains SELECT coalesce(project, ''), domain, count(*) FROM turns WHERE "
        "domain IS NOT NULL GROUP BY 1, 2",
        *DOMAIN_TRIGGERS,
    )
    _run(
        db,
        # `looked_at`: when committed code was last looked at again. `since`: from when time alone
        # counts for the suggestion (the end of its answer while it waits, the last change while it
        # is placed, the last look once it is committed); NULL if time changes nothing any more. The
        # state `unknown` is the end of one that waited longer than the window.
        "ALTER TABLE suggestions ADD COLUMN looked_at REAL",
        "ALTER TABLE suggestions ADD COLUMN since REAL",
        """
        UPDATE suggestions SET state = 'unknown' WHERE state = 'waiting' AND turn_id IN (
            SELECT id FROM turns WHERE ended < (SELECT max(ended) FROM turns) - 8 * 86400
        )
        """,
        """
        UPDATE suggestions SET since = CASE state
            WHEN 'waiting' THEN (SELECT ended FROM turns WHERE id = turn_id)
            WHEN 'placed' THEN coalesce(touched_at, 0)
            WHEN 'settled' THEN iif("commit" IS NULL OR settled_at - placed_at >= 7 * 86400
                OR placed_at < (SELECT max(ended) FROM turns) - 8 * 86400, NULL, settled_at)
        END
        """,
        "DROP INDEX suggestions_by_state",
        "CREATE INDEX suggestions_due ON suggestions (state, since) WHERE since IS NOT NULL",
        "CREATE INDEX suggestions_by_placing ON suggestions (placed_at) WHERE placed_at IS NOT "
        "NULL",
        "CREATE INDEX suggestions_by_file ON suggestions (file, placed_at) WHERE file IS NOT NULL",
        "CREATE INDEX suggestions_gone ON suggestions (touched_at) WHERE region IS NULL AND "
        "placed_at IS NOT NULL",
    )
    _run(
        db,
        # One row per turn over the threshold that was looked at as an example: `key` is the same
        # for two that say the same, NULL with the reason if it can be none. A new score takes the
        # row away, and `judged` is 0 until the turn is looked at again.
        """
        CREATE TABLE candidates (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE, key TEXT, reason TEXT,
            session TEXT NOT NULL, score REAL NOT NULL, started REAL NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX candidates_fit ON candidates (started, turn_id, key, session, score) WHERE "
        "key IS NOT NULL",
        "CREATE INDEX candidates_by_key ON candidates (key) WHERE key IS NOT NULL",
        "ALTER TABLE scores ADD COLUMN judged INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX scores_unjudged ON scores (target_score) WHERE NOT judged",
        # The events that are nowhere else expire, by when they came in.
        "CREATE INDEX events_expiring ON events (taken) WHERE kind IN ('git', 'hook', 'edit')",
        # How many turns there were when the rating was taken in: those were answered before it,
        # whatever the clock said.
        "ALTER TABLE ratings ADD COLUMN known INTEGER",
        # As `spool_files`, and known by its first line too (`head`, its hash): a name can come
        # again, and a file that its shell still has open is given another.
        """
        CREATE TABLE spool_positions (
            name TEXT NOT NULL, head TEXT NOT NULL, offset INTEGER NOT NULL,
            bad_bytes INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, head)
        ) WITHOUT ROWID
        """,
        "INSERT INTO spool_positions SELECT name, '', offset, bad_bytes FROM spool_files",
        "DROP TABLE spool_files",
    )


@migrations()
def m006_what_is_found_out_once(db: Database) -> None:
    _run(
        db,
        # One row per answer that was looked at: `records.AnswerFacts`, of this project alone.
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


@migrations()
def m007_where_a_command_ran(db: Database) -> None:
    _run(db, "ALTER TABLE commands ADD COLUMN cwd TEXT")


@migrations()
def m008_facts_of_what_was_placed(db: Database) -> None:
    _run(db, "ALTER TABLE answer_facts ADD COLUMN about TEXT NOT NULL DEFAULT ''")


@migrations()
def m009_what_is_forgotten(db: Database) -> None:
    _run(db, *FORGETTING)


@migrations()
def m011_turns_of_a_session(db: Database) -> None:
    # When a session began, and whether it is in use.
    _run(db, "CREATE INDEX turns_by_session ON turns (session, ended)")


@migrations()
def m012_turns_of_no_project(db: Database) -> None:
    _run(db, *STRAYS)


@migrations()
def m013_as_it_came(db: Database) -> None:
    # Keyed hashes of what a message, after all before it, and a turn said before anything was taken
    # out: by them a forgotten one is known though the rules for secrets are others by then.
    tables = ("messages", "turns")
    _run(db, *(f"ALTER TABLE {table} ADD COLUMN came BLOB" for table in tables))


@migrations()
def m014_fates(db: Database) -> None:
    # `backfill` names the fates of older suggestions, and takes back rejections without a sign.
    _run(db, *FATES)


@migrations()
def m015_what_a_command_saw(db: Database) -> None:
    # JSON lists of names: the files of its tests, the others that took part, and what failed.
    lists = (f"ALTER TABLE commands ADD COLUMN {name} TEXT" for name in ("tests", "loaded"))
    _run(db, *lists, "ALTER TABLE commands ADD COLUMN failing TEXT")
    _run(db, "ALTER TABLE commands ADD COLUMN interrupted INTEGER")
    # The commit by which a later fix blames the code; the outcome's `bug_introduced` follows it.
    _run(db, "ALTER TABLE suggestions ADD COLUMN repaired_by TEXT")


@migrations()
def m016_moved_imports(db: Database) -> None:
    # The imports of a suggestion that stand elsewhere in its file, as in `records.Suggestion`.
    _run(db, "ALTER TABLE suggestions ADD COLUMN head TEXT NOT NULL DEFAULT '[]'")


@migrations()
def m017_what_is_left_and_said_next(db: Database) -> None:
    _run(
        db,
        # One row per suggestion that was committed: `records.Survival`.
        """
        CREATE TABLE survival (
            turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
            "commit" TEXT NOT NULL, file TEXT NOT NULL, own INTEGER NOT NULL, lines TEXT NOT NULL,
            made REAL NOT NULL, at_commit REAL, after_day REAL, after_week REAL, due REAL,
            PRIMARY KEY (turn_id, ordinal)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX survival_due ON survival (due) WHERE due IS NOT NULL",
        # One row per answer that a person wrote something after: the turn whose request has that.
        """
        CREATE TABLE replies (
            turn_id TEXT PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
            reply TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE
        ) WITHOUT ROWID
        """,
        "CREATE INDEX replies_by_reply ON replies (reply)",
        "CREATE TRIGGER reply_taken AFTER DELETE ON replies BEGIN UPDATE turns SET "
        "dirty = texts_gone IS NULL WHERE id = OLD.turn_id; END",
        # JSON: the lines that a command's tests ran, as in `records.CommandResult`, until joined.
        "ALTER TABLE commands ADD COLUMN covered TEXT",
        # One row per suggestion of which that says that none of its lines ran.
        """
        CREATE TABLE unseen (
            command_id TEXT NOT NULL REFERENCES commands (id) ON DELETE CASCADE,
            turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
            PRIMARY KEY (command_id, turn_id, ordinal)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX unseen_by_turn ON unseen (turn_id)",
        # What gave way to something else and may come again in another file; `suggestions_gone` has
        # what went.
        "CREATE INDEX suggestions_unlike ON suggestions (touched_at, similarity) WHERE region IS "
        "NOT NULL AND placed_at IS NOT NULL",
    )


@migrations()
def m018_what_a_person_wrote(db: Database) -> None:
    _run(
        db,
        # Whether the person wrote or changed something of the answer to learn. Every turn is looked
        # at anew, and what a cycle began with counted what was kept as it was too.
        "ALTER TABLE candidates ADD COLUMN own INTEGER NOT NULL DEFAULT 0",
        "UPDATE scores SET judged = 0 WHERE turn_id IN (SELECT turn_id FROM candidates)",
        "DELETE FROM candidates",
        "DROP INDEX candidates_fit",
        "CREATE INDEX candidates_fit ON candidates (started, turn_id, key, session, score, own) "
        "WHERE key IS NOT NULL",
        "UPDATE runs SET fresh = NULL",
    )


@migrations()
def m019_what_a_version_is_worth_after_it_shipped(db: Database) -> None:
    _run(
        db,
        # One row per pair of versions that was compared on new work: `records.Monitored`. `id` is
        # the event by which the newer one went live. The evidence follows from the texts below, and
        # is written with each change of them.
        """
        CREATE TABLE monitored_pairs (
            id TEXT PRIMARY KEY, live TEXT NOT NULL, previous TEXT NOT NULL, began REAL NOT NULL,
            sessions INTEGER NOT NULL, texts INTEGER NOT NULL, tokens INTEGER NOT NULL,
            difference REAL, worse REAL NOT NULL, worse_highest REAL NOT NULL, better REAL NOT NULL,
            better_highest REAL NOT NULL, tokens_read INTEGER NOT NULL, updated REAL NOT NULL,
            live_temperature REAL NOT NULL, previous_temperature REAL NOT NULL
        )
        """,
        # One row per kept text that was read under both: `records.MonitoredText`. `counted` is when
        # its session was. They leave with their turn.
        """
        CREATE TABLE monitored_texts (
            pair_id TEXT NOT NULL REFERENCES monitored_pairs (id),
            turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE, session TEXT NOT NULL,
            counted REAL NOT NULL, tokens INTEGER NOT NULL, live_nll REAL NOT NULL,
            previous_nll REAL NOT NULL, PRIMARY KEY (pair_id, turn_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX monitored_by_turn ON monitored_texts (turn_id)",
    )


def _run(db: Database, *statements: str) -> None:
    """Run statements one by one: `executescript` would end the migration's transaction."""
    for statement in statements:
        db.execute(statement)
