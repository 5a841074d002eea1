"""Step 9, versions, the journal and the alias, and the way back.

First a new immutable name, then a smoke test, then the switch.

`deploy.json` alone is enough to roll back; at every instant the alias resolves, through the
gateway, to a complete, gated model.

Called by the cycle, the daemon, `qi-learn init`, `qi-learn rollback`, the benchmark, the
demonstration and the reports.
May import the vocabulary and outside.
Never creates over a live name, and never needs the database.
"""
