"""SQLite, and nothing else: schema, ingest, and the queries over what was recorded.

Opened for writing by the daemon alone; every other reader opens it read-only.

Called by capture, score, dataset, cycle, daemon, commands, report, demo.
May import nothing but the vocabulary.
Never calls an external system, or decides what evidence is worth.
"""
