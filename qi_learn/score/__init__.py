"""Step 3: two scores with their reasons.

How good a suggestion was, and whether its final text may be learned. A signal that is not known
is left out of every mean.

Called by the daemon.
May import the vocabulary and outside.
Never reads the code in the working tree (names in use come from the newest commit before the turn)
or the database, or changes what it scores.
"""
