"""The process that watches, takes in, scores and decides when to learn.

It is the only writer of the database.

Crash-only: starting is recovering, and what matters is in files before anything is done with it.

Called by `qi-learn daemon`, `train --now` without one, and what asks it over its socket
(`client.py`).
May import the vocabulary and the supports, capture, track, score, pack, deploy, cycle.
Never trains, or stands between a client and its answer.
"""
