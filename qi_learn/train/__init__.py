"""Step 6: the training worker, the one process that needs torch: `python -m qi_learn.train
RUN_DIR`.

It reads a plan and a snapshot and leaves a delta and a Fisher; stopped anywhere it goes on from
its last checkpoint.

Called by nothing imports it but the benchmark: the cycle starts it by name.
May import the vocabulary and outside, rundir, plan.
Never touches the database, the network, or a version that serves.
"""
