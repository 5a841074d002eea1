"""Step 3: two scores with their reasons: how good a suggestion was, and whether its final text
may be learned.

A signal that is not known is left out of every mean.

Called by the daemon.
May import the vocabulary and outside, store.
Never reads a file of the user, or changes what it scores.
"""
