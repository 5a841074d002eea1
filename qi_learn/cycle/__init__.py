"""The steps composed: a learning cycle (`learn.py`), and when one is due (`trigger.py`).

Also what comes after it: the live version beside the one before it, at night (`monitor.py`).

A step whose file is there is not done again, so a cycle killed anywhere goes on from its last
complete step.

Called by the daemon, which starts it as `python -m qi_learn.cycle RUN_DIR` (and `python -m
qi_learn.cycle.monitor_process`) and asks the trigger, as `status` does.
May import the vocabulary and outside, store, rundir, capture and the steps from dataset to deploy
but train.
Never writes the database: it reports by events.
"""
