"""The demonstration: real code, a developer who is played, learning cycles end to end in a
throw-away home.

Nothing in it is faked: it types the commands that a user would.

Called by `qi-learn demo`.
May import the vocabulary and outside, store, rundir, dataset, gate, deploy, daemon, report, bench.
Never touches the user's own data.
"""
