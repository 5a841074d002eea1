"""What a person can do, one file for each command; the faces print what it returns.

A command needs the daemon only if it cannot do without.

Called by cli.
May import the vocabulary and the supports, capture, deploy, daemon.
Never prints, or writes the database: it writes to the spool or asks the daemon.
"""
