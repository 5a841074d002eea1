"""The terminal face: parse, call, print.

Heavy imports stand inside the commands, so that `--help` and `rate` stay quick.

Called by `python -m qi_learn` and the `qi-learn` command.
May import the vocabulary and workspace, daemon, commands, report, bench, demo.
Never decides anything.
"""
