"""The user's projects on disk.

Which there are, what was saved, where HEAD moved to, what kind of project each is.

Saves are seen by events and by looking. What git writes is told apart from what a person writes.

Called by the daemon, the gateway (which project a client works in), track, commands, cli, and what
reports.
May import the vocabulary and outside.
Never writes into a project, or runs anything of it but git.
"""
