"""The steps composed: one learning cycle on one page (`learn.py`), and when one is due
(`trigger.py`).

A step whose file is there is not done again, so a cycle killed anywhere goes on where it was.

Called by the daemon starts it as `python -m qi_learn.cycle RUN_DIR`; status and daemon ask the
trigger.
May import the vocabulary and outside, store, rundir and the steps from dataset to deploy but
train.
Never writes the database: it reports by events.
"""
