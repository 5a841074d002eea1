"""Step 9, versions, the journal and the alias: a new immutable name, a smoke test, then the switch;
and the way back.

`deploy.json` alone is enough to roll back; at every instant the alias resolves to a complete,
gated model.

Called by the cycle, the daemon, `qi-learn init`, `qi-learn rollback`, the benchmark, the
demonstration and the reports.
May import the vocabulary and outside.
Never creates over a live name, and never needs the database.
"""
