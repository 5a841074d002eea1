"""Step 6: the training worker, `python -m qi_learn.train RUN_DIR`.

It is the one process that needs torch (the benchmark imports it too, but late). It reads a plan and
a snapshot and leaves a delta and a Fisher. Stopped anywhere, it goes on from its last checkpoint.

Called by the cycle, which starts it by name; only the benchmark imports it.
May import the vocabulary and outside, rundir, plan.
Never touches the database, the network, or a version that serves.
"""
