"""What a person can do, one file a command; what it returns is printed by the faces.

Whatever works without a daemon does.

Called by cli, and later web.
May import the vocabulary and the supports, capture, deploy, daemon.
Never prints, or writes the database: it writes to the spool or asks the daemon.
"""
