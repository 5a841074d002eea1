"""The demonstration: learning cycles end to end in a throw-away home.

The code is real, and the developer is played.

Nothing in it is faked: it types the commands that a user would.

Called by `qi-learn demo`.
May import the vocabulary and outside, store, rundir, dataset, gate, deploy, daemon, report, bench.
Never touches the user's own data.
"""
