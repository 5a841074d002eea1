"""What a person can look at: status, log, explain, doctor, settings, progress. Only reads.

Opens the store read-only; of the daemon it asks only whether it runs and how it is.

Called by cli, demo.
May import the vocabulary and the supports, dataset, plan, gate, deploy, cycle, daemon.
Never changes anything.
"""
